"""Checks the prose of the project: messages, comments, manual pages and documents.

usage: lint.py             print `FILE:LINE: problem`; exit with 1 if there is one
       lint.py --sentences print each sentence that is counted as hard to read

proselint finds clichés, redundancies and the like, and searches the project's own list, words.txt. Long sentences and sentences with
many pronouns are not errors one by one: LIMITS has the share of sentences that may be like that.
"""

import re
import subprocess
import sys
from pathlib import Path

from proselint.checks import __register__ as shipped
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckResult
from proselint.tools import LintFile

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

# Of proselint's checks, these are about plain English. The others are about typography and the style of newspapers.
CHECKS = ('project', 'cliches', 'malapropisms', 'mixed_metaphors', 'mondegreens',
          'needless_variants', 'nonwords', 'oxymorons', 'redundancy', 'uncomparables')

PRONOUN = re.compile(r'\b(?:that|one|it|its|those|which|what)\b', re.I)
NOUN_CLAUSE = re.compile(
    r'(?:^|[.:;,] |and |but |of |by |for |to |as )(?:what|who)\b(?!.*\?$)', re.I)
# What makes a sentence hard to read, and how many percent of the sentences of one kind of text may have it.
LIMITS = {
    '"what …" or "who …" as a noun': (1, NOUN_CLAUSE.search),
    'three pronouns': (4, lambda sentence: len(PRONOUN.findall(sentence)) >= 3),
    'over 30 words': (5, lambda sentence: len(sentence.split()) > 30),
}

STRING = r'r#"(?:.|\n)*?"#|"(?:\\(?:.|\n)|[^"\\])*"'
RUST = re.compile(rf'(?P<doc>(?:[ \t]*//[/!][^\n]*\n)+)|(?P<comment>//[^\n]*)|\'(?:\\.|[^\\\'])\'|(?P<string>{STRING})')
SHELL = re.compile(
    r'(?:^|(?<=\s))#(?P<comment>[^\n]*)|(?:echo|printf|fail|warn|complain)\w* (?P<string>"(?:\\.|[^"\\])*"|\'[^\']*\')', re.M)


def words_of_project():
    """The patterns of words.txt, each with the words to use in its place."""
    for line in (HERE / 'words.txt').read_text(encoding='utf-8').splitlines():
        if line and not line.startswith('#'):
            pattern, instead = re.split(r' {2,}', line, maxsplit=1)
            yield re.compile(rf'\b(?:{pattern})\b'.replace(' ', r'\s+'), re.I), instead


def project_check(text, check):
    """Searches a text for the patterns of words.txt, as a check of proselint."""
    for pattern, instead in words_of_project():
        for match in pattern.finditer(text):
            found = ' '.join(match.group().split())
            yield CheckResult(check.path, f'"{found}": better: {instead}', match.span(), instead)


PROJECT = Check(check_type=project_check, path='project')


class Prose:
    """The prose of one file: the text with all else blanked, so that positions stay; and its sentences by kind of text."""

    def __init__(self, path, text=None):
        self.path = path
        self.text = (ROOT / path).read_text(encoding='utf-8') if text is None else text
        self.kept = ['\n' if character == '\n' else ' ' for character in self.text]
        self.pieces = []
        if path.endswith(('.md', '.scd')):
            self.markdown('manuals' if path.startswith('man/') else 'documents')
        elif path.endswith('.rs'):
            self.rust()
        elif path.endswith(('.yml', '/about')):
            self.keep('documents', 0, len(self.text), counts=False)
        else:
            self.shell()

    def keep(self, kind, start, end, counts=True):
        """Takes a part of the file as prose. Code in backticks is left out of it."""
        piece = re.sub(r'`[^`\n]*`', lambda code: '`' + 'x' * (len(code.group()) - 2) + '`', self.text[start:end])
        self.kept[start:end] = piece
        if counts:
            self.pieces.append((kind, start, piece))

    def markdown(self, kind):
        """Paragraphs, list entries, headings and tables; not fenced blocks."""
        position, start, fence = 0, None, False
        for line in [*self.text.splitlines(keepends=True), '']:
            is_fence = line.lstrip().startswith('```')
            is_item = re.match(r'\s*(?:[-*]|\d+\.)\s', line)
            is_apart = not line.strip() or line.lstrip().startswith(('#', '|', '[', ':'))
            if start is not None and (is_fence or is_item or is_apart):
                self.keep(kind, start, position)
                start = None
            if is_fence:
                fence = not fence
            elif not fence and is_apart:
                self.keep(kind, position, position + len(line), counts=False)
            elif not fence and start is None:
                start = position
            position += len(line)

    def rust(self):
        """Comments and messages; those of tests are not counted."""
        tests = self.text.find('#[cfg(test)]\nmod')
        for match in RUST.finditer(self.text):
            counts = not self.path.startswith(('tests/', 'fuzz/', 'bench/')) and not 0 <= tests < match.start()
            if match['doc'] or match['comment']:
                self.keep('doc comments', *match.span(), counts=counts and bool(match['doc']))
            elif match['string'] and is_message(match['string']):
                self.keep('messages', *match.span(), counts=counts)

    def shell(self):
        """Comments and messages of bash, make and unit files."""
        for match in SHELL.finditer(self.text):
            if match['comment'] is not None:
                self.keep('comments', *match.span('comment'), counts=False)
            elif is_message(match['string']):
                self.keep('messages', *match.span('string'), counts=self.path.startswith(('src/', 'plugins/')))

    def sentences(self):
        """Each sentence that is counted: its kind, its line and its text."""
        for kind, start, piece in self.pieces:
            line = self.text.count('\n', 0, start) + 1
            text = re.sub(r'^[ \t]*(?://[/!]?|[-*]|\d+\.)[ \t]?', '', piece, flags=re.M)
            text = re.sub(r'\\\n\s*|\\n', ' ', text).strip('" ')
            text = ' '.join(text.split())
            for sentence in re.split(r'(?<=[.!?:])\s+(?=[A-Z`"(*_])', text):
                if sentence.count(' ') >= 4:
                    yield kind, line, sentence

    def problems(self):
        """What proselint and the project's list find: the line and the message."""
        config = {'max_errors': 1000, 'checks': dict.fromkeys(CHECKS, True)}
        # A comment continues on the next line; its marker is not a part of it. proselint ignores quoted text, and a message is quoted.
        text = re.sub(r'^([ \t]*)(//[/!]?|#)', lambda mark: ' ' * len(mark.group()), ''.join(self.kept), flags=re.M)
        text = re.sub(r'["“”]|\B\'|\'\B', ' ', text)
        for result in LintFile(self.path, text or '\n').lint(config):
            yield result.pos[0], f'{result.check_result.message} ({result.check_result.check_path})'
        if not self.path.endswith(('.md', '.scd')):
            yield from self.identifiers()

    def identifiers(self):
        """The identifiers that have a word of words.txt."""
        code = ''.join(character if kept == ' ' else kept if kept == '\n' else ' ' for character, kept in zip(self.text, self.kept))
        for number, line in enumerate(code.split('\n'), 1):
            for identifier in dict.fromkeys(re.findall(r'\b[A-Za-z]+(?:_[A-Za-z]+)*\b', line)):
                for _, message, *_ in project_check(identifier.replace('_', ' '), PROJECT):
                    yield number, f'{identifier}: {message}'


def is_message(string):
    """Whether a string literal is a sentence for people: four words, three of them lower-case."""
    text = re.sub(r'\{[^}]*\}', '', string)
    return text.count(' ') >= 3 and len(re.findall(r'\b[a-z]{2,}\b', text)) >= 3


def files():
    """The files of the project that have prose."""
    patterns = ['*.md', '*.scd', '*.rs', '*.sh', '*.bash', '*.bats', '*.py', '*.yml', 'units/*', 'etc/*', 'Makefile', '.ci/run',
                'tests/kit/cases/*/about', 'tests/kit/cases/*/do', 'tests/kit/cases/*/expect']
    listed = subprocess.run(['git', '-C', ROOT, 'ls-files', '-z', '--', *patterns], stdout=subprocess.PIPE, text=True, check=True)
    listed = set(listed.stdout.split('\0')) - {'', 'tests/prose/test_lint.py'}
    return sorted(path for path in listed if (ROOT / path).is_file())


def register():
    """Registers the checks with proselint, once in each process."""
    registry = CheckRegistry()
    registry.register_many(shipped)
    registry.register(PROJECT)


def main():
    """Prints the problems, and returns the exit status."""
    register()
    failed = False
    sentences = {}
    for path in files():
        prose = Prose(path)
        for line, problem in prose.problems():
            print(f'{path}:{line}: {problem}')
            failed = True
        for kind, line, sentence in prose.sentences():
            sentences.setdefault(kind, []).append((f'{path}:{line}', sentence))
    for kind, found in sentences.items():
        for name, (limit, is_hard) in LIMITS.items():
            hard = [(place, sentence) for place, sentence in found if is_hard(sentence)]
            share = 100 * len(hard) / len(found)
            if '--sentences' in sys.argv:
                print(*(f'{place}: {name}: {sentence}' for place, sentence in hard), sep='\n')
            if share > limit:
                print(f'{kind}: {share:.1f} % of {len(found)} sentences have {name}; at most {limit} % may (--sentences lists them)')
                failed = True
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())

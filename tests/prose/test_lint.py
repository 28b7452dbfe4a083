"""Tests that lint.py finds a problem in each kind of text, and only in prose."""

import unittest

import lint

FOUND = {
    'a Rust message': ('src/a.rs', 'fn a() { bail!("cannot meanwhile read the {}", b) }\n'),
    'a Rust message after an apostrophe': ('src/a.rs', '// The user\'s "file.\nfn a() { bail!("cannot meanwhile read it now") }\n'),
    'a doc comment, over the end of a line': ('src/a.rs', '/// Deletes the file by\n/// hand.\n'),
    'a Rust identifier': ('src/a.rs', 'fn a_file_deleted_by_hand_is_found() {}\n'),
    'a bash comment': ('bats/a.bats', '# Edited by hand.\n'),
    'a bash message': ('plugins/a.sh', 'echo "the file is edited by hand" >&2\n'),
    'a bash function': ('bats/a.bash', 'delete_by_hand() { :; }\n'),
    'a paragraph of a manual page': ('man/a.8.scd', 'The error\nis told by *netnsctl*.\n'),
    'a table of a document': ('docs/a.md', '| a | this is no type |\n'),
    'a repeated word': ('docs/a.md', 'Run the the command.\n'),
    'the rule of a kit case': ('tests/kit/cases/a/about', 'The file is edited by hand.\n'),
    'a form of the repository': ('.github/a.yml', 'label: Edited by hand\n'),
}

NOT_FOUND = {
    'code in a block': ('docs/a.md', '```console\n# echo by hand\n```\n'),
    'code in backticks': ('docs/a.md', 'Run `netns_made by hand` now.\n'),
    'a Rust string that is not a message': ('src/a.rs', 'let a = "by hand";\n'),
    'plain English': ('src/a.rs', '/// Deletes the file manually.\n'),
}


class Problems(unittest.TestCase):
    """The problems in single texts."""

    def test_each_kind_of_text_is_read(self):
        for name, (path, text) in FOUND.items():
            with self.subTest(name):
                self.assertEqual(len(list(lint.Prose(path, text).problems())), 1)

    def test_only_prose_is_read(self):
        for name, (path, text) in NOT_FOUND.items():
            with self.subTest(name):
                self.assertEqual(list(lint.Prose(path, text).problems()), [])


if __name__ == '__main__':
    lint.register()
    unittest.main()

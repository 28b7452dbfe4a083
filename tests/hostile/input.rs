//! Bytes to what is to be tried: the same for libFuzzer, which picks them by coverage, and for proptest, which picks any.

/// What is nasty to a shell, to a path or to a parser. What would be run makes a file `canary` where it is run.
const NASTY: [&[u8]; 48] = [
    b"a",
    b"lo",
    b"9",
    b"_",
    b".",
    b"..",
    b"/",
    b"../..",
    b":",
    b"-",
    b"--",
    b"--root",
    b"@",
    b"=",
    b" ",
    b"\t",
    b"\n",
    b"\r",
    b"'",
    b"\"",
    b"\\",
    b"`",
    b"$",
    b"$(touch canary)",
    b"`touch canary`",
    b";touch canary;",
    b"\ntouch canary\n",
    b"|touch canary|",
    b"&touch canary&",
    b">canary",
    b"<(touch canary)",
    b"*",
    b"?",
    b"[a]",
    b"{a,b}",
    b"~",
    b"!!",
    b"#",
    b"%s%n",
    b"${x:=y}",
    b"$IFS",
    b"$'\\n'",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x80\xa8",
    b"\x1b[2J",
    b"\x01",
    b"\x7f",
];

/// A word without NUL, out of nasty pieces: a byte below 0xe0 stands for one of them, the rest repeat what is there.
pub fn nasty(bytes: &[u8]) -> Vec<u8> {
    let mut word = Vec::new();
    for &byte in bytes {
        if byte < 0xe0 {
            word.extend(NASTY[usize::from(byte) % NASTY.len()]);
        } else if word.len() < 4096 {
            let end = word.len().min(64);
            word.extend_from_within(..end);
        }
    }
    word
}

/// Words, as a command line has them: they end at 0xdf.
pub fn nasty_words(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split(|&byte| byte == 0xdf).map(nasty).collect()
}

/// Lines that stand in a layer, or nearly.
const TOP: [&str; 32] = [
    "",
    "# it's \"\n",
    "A_B=1",
    "C_D=$A_B",
    "E_F=\"x y\"",
    "G_H='x;y'",
    "I_J=",
    "echo ran",
    ">made",
    "A_B=1 # c",
    "A_B=$(echo ran)",
    "A_B=`>made`",
    "A_B=\"a\\\"\"",
    "A_B='a'\\''b'",
    "A_B=(1 2)",
    "A_B+=1",
    "A_B=x y",
    "A_B={a,b}",
    "A_B=a\\",
    "export A_B=1",
    " A_B=1 ",
    "}",
    "{",
    ")",
    "fi",
    "esac",
    "END",
    "x",
    "g_h() { :; }",
    "A_B=1\r",
    "A_B=\u{e9}",
    "A_B=~/x",
];

/// What stands in functions, or nearly: pieces of lines.
const BODY: [&str; 112] = [
    "\n",
    "\n",
    "\n",
    "\n",
    " ",
    " ",
    " ",
    "echo ran",
    ">made",
    "}",
    "}",
    "{",
    "{ ",
    "; }",
    "{ :; }",
    ";",
    "; ",
    "&&",
    " || ",
    "|",
    "&",
    "!",
    "(",
    ")",
    "((",
    "))",
    "[[ ",
    " ]]",
    "[",
    "]",
    "$(",
    "`",
    "\"",
    "'",
    "\\",
    "\\\n",
    "$'",
    "$\"",
    "${",
    "${x",
    "${x#",
    "$",
    "$((",
    "<<END",
    "<<'END'",
    "<<-END",
    "<<\"END\"",
    "<<END\nx\nEND\n",
    "<<x",
    "<<",
    "<<<",
    "<",
    ">",
    ">|",
    ">&",
    "<&-",
    "2>&1",
    "&>",
    "<(",
    "\nEND\n",
    "\nx\n",
    "if true; then",
    "if [[ x ]]; then\n",
    "then",
    "else",
    "elif",
    "fi",
    "while",
    "until",
    "do",
    "done",
    "for x in",
    "for x in a; do",
    "case x in",
    "case",
    "esac",
    "a)",
    ";;",
    ";&",
    "in",
    "select",
    "time ",
    "coproc ",
    "function f",
    "f()",
    "g_h() {\n",
    "\n}\n",
    "\n}\n",
    "#",
    " # it's",
    "x=",
    "x=(",
    "x[",
    "A_B=1\n",
    "=~",
    "==",
    "\t",
    "\r",
    "\u{c}",
    "\u{e9}",
    "\u{a0}",
    "\u{2028}",
    "x",
    ":",
    "*",
    "-",
    "%",
    "~",
    ",",
    "{a,b}",
    "eval",
    "local x=1",
];

/// Lines of functions that are as people write them.
const PLAIN: [&str; 14] = [
    "  echo ran\n",
    "  if [[ $1 == x ]]; then\n    echo ran\n  fi\n",
    "  foo || {\n    echo ran\n  }\n",
    "  cat <<'END'\n}\necho ran\nEND\n",
    "  ip link set dev \"$1\" up # it's up\n",
    "  { a; b; } >made\n",
    "  x=$(foo \"$1\" | bar)\n",
    "  [[ $(foo \"$1\") == *\"$(bar)\"* ]] && :\n",
    "\n",
    "  # a \"comment\n",
    "  cat <<END\n$x }\nEND\n",
    "  foo ${x:+-n \"$x\"} \"${y#z}\" 2>&1\n",
    "  for x in a b; do echo ran; done\n",
    "  y=(a \"$x\")\n",
];

/// Bash text that is a layer, or nearly.
pub fn layer(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut bytes = bytes.iter().map(|&byte| usize::from(byte));
    while let Some(kind) = bytes.next() {
        if kind % 3 == 0 {
            text += TOP[kind / 3 % TOP.len()];
            text.push('\n');
            continue;
        }
        text += ["f_a() {\n", "f_b() {\n", "f_a() {\n", "f_c()  {\n"][kind / 3 % 4];
        for _ in 0..kind / 12 % 6 {
            let Some(line) = bytes.next() else { break };
            if line % 2 == 0 {
                text += PLAIN[line / 2 % PLAIN.len()];
                continue;
            }
            text += "  ";
            for piece in bytes.by_ref().take(1 + line / 2 % 5) {
                text += BODY[piece % BODY.len()];
            }
            text.push('\n');
        }
        text += ["}\n", "}\n", "}\n", "}\n", "} >made\n", "  }\n", "}"][kind / 3 % 7];
    }
    text
}

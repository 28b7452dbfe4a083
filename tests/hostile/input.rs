//! Builds test inputs from bytes. libFuzzer chooses the bytes by coverage, proptest at random.

/// Pieces that are dangerous for a shell, a path or a parser. If one of the commands is run, it creates a file `canary`.
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

/// Builds an argument without NUL. A byte below 0xe0 selects a piece; other bytes repeat the beginning of the argument.
pub fn nasty(bytes: &[u8]) -> Vec<u8> {
    let mut argument = Vec::new();
    for &byte in bytes {
        if byte < 0xe0 {
            argument.extend(NASTY[usize::from(byte) % NASTY.len()]);
        } else if argument.len() < 4096 {
            let end = argument.len().min(64);
            argument.extend_from_within(..end);
        }
    }
    argument
}

/// Builds the arguments of a command line. The byte 0xdf separates them.
pub fn nasty_arguments(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split(|&byte| byte == 0xdf).map(nasty).collect()
}

/// Lines of a layer, and lines that are similar to them.
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

/// Parts of a value, and text that is similar to them.
const VALUE: [&str; 65] = [
    "\n",
    " ",
    "\t",
    "\r",
    "\u{c}",
    "\u{e9}",
    "\u{a0}",
    "\u{2028}",
    "x",
    "y1",
    "/24",
    "192.0.2.1",
    "2001:db8::1",
    ":",
    "*",
    "?",
    "-",
    "+",
    "%",
    "~",
    ",",
    "@",
    ".",
    "_",
    "{a,b}",
    "}",
    "{",
    "(",
    ")",
    "[",
    "]",
    "|",
    "&",
    "&&",
    ";",
    "<",
    ">",
    " >made",
    "<<END",
    "#",
    " # x",
    "!",
    "=",
    "$",
    "$x",
    "$A_B",
    "${A_B}",
    "${A_B-}",
    "${x:=1}",
    "$(",
    "$((",
    "$[",
    "`",
    "`echo ran`",
    "$(echo ran)",
    "\"",
    "\"",
    "'",
    "'",
    "\\",
    "\\\n",
    "$'",
    "$\"",
    ";echo ran",
    "\necho ran",
];

/// Builds a bash text that is similar to a layer.
pub fn layer(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut bytes = bytes.iter().map(|&byte| usize::from(byte));
    while let Some(kind) = bytes.next() {
        if kind % 3 == 0 {
            text += TOP[kind / 3 % TOP.len()];
        } else {
            text += ["A_B=", "C_D=", "A_B=\"", "A_B='"][kind / 3 % 4];
            text.extend(bytes.by_ref().take(kind / 12 % 6).map(|piece| VALUE[piece % VALUE.len()]));
            text += ["", "", "\"", "'"][kind / 3 % 4];
        }
        text.push('\n');
    }
    text
}

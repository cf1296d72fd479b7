//! Names that people and programs give to files.

/// Names that broke programs. None of them is more than 255 bytes.
pub(crate) fn naughty_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "Caf\u{e9}.txt",
        "Cafe\u{301}.txt",
        "case.txt",
        "CASE.TXT",
        " leading and trailing ",
        "-rf",
        "--json",
        "new\nline.txt",
        "tab\tand\rreturn",
        "\u{1b}[31mred\u{7}",
        "'; DROP TABLE files; --",
        "<script>alert(1)<\u{2044}script>",
        "quote\"and\\backslash",
        "%00%2f..",
        "100%_*?[a]{b}!",
        "\u{202e}txt.exe",
        "\u{feff}mark",
        "\u{1f4da}\u{200d}\u{1f3eb}",
        "\u{6f22}\u{5b57}",
        "...",
        "NUL",
        "con.txt",
        "$HOME",
        "`id`",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push(vec![b'n'; 255]);
    names.push("\u{e9}".repeat(127).into_bytes());
    names.push(b"not utf-8 \xff\xfe.txt".to_vec());
    names.push(b"\x80".to_vec());
    names
}

#!/usr/bin/env python3
"""Compares what shelflist reads out of office documents, RTF and mail with what other programs read out of them.

usage: office.py FOLDER SHELFLIST EXTRACT [--list]

SHELFLIST and EXTRACT are the built program and examples/extract.rs. Titles and creators are exiftool's; those of mail are
Python's `email`. Words are those of docx2txt (DOCX), python-pptx (PPTX), openpyxl (XLSX), xlrd (XLS), odt2txt and odfpy
(ODF), unrtf (RTF), `email` (mail). A file that the other program cannot read is counted apart. `--list` names each
difference. Needs: apt-get install libimage-exiftool-perl libarchive-zip-perl
docx2txt odt2txt unrtf; pip install python-pptx openpyxl xlrd odfpy.
"""
import collections, datetime, decimal, email, email.header, email.policy, email.utils, html, json, os, re, signal, subprocess, sys, unicodedata, warnings
from pathlib import Path

warnings.simplefilter("ignore")
FAMILY = {"docx": "word", "docm": "word", "dotx": "word", "pptx": "slides", "xlsx": "xlsx", "xlsm": "xlsx", "xls": "xls",
          "odt": "odf text", "ott": "odf text", "ods": "odf sheet", "ots": "odf sheet", "odp": "odf slides", "otp": "odf slides",
          "rtf": "rtf", "eml": "mail"}


def output(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, timeout=120)
    if done.returncode:
        raise ValueError(done.stderr.decode(errors="replace")[:200])
    return done.stdout.decode(errors="replace")


def words_of_word(path):
    return output("docx2txt", path, "-")


def words_of_slides(path):
    import pptx
    def frames(shapes):
        for shape in shapes:
            if shape.shape_type == 6:
                yield from frames(shape.shapes)
            elif shape.has_text_frame:
                yield shape.text_frame.text
            elif getattr(shape, "has_table", False) and shape.has_table:
                yield from (cell.text_frame.text for row in shape.table.rows for cell in row.cells)
    found = []
    for slide in pptx.Presentation(path).slides:
        found += frames(slide.shapes)
        if slide.has_notes_slide:
            frame = slide.notes_slide.notes_text_frame
            found.append(frame.text if frame is not None else "")
    return "\n".join(found)


def number(value):
    """To the 15 digits that Excel shows, never as a power of ten."""
    return f"{decimal.Decimal(f'{value:.15g}'):f}" if abs(value) < 1e21 else str(value)


def date(value, days):
    """Times of day and durations as hours, minutes, seconds."""
    if days is not None and days < 1:
        seconds = round(days * 86400)
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return value.replace(tzinfo=None).isoformat(" ", "seconds").removesuffix(" 00:00:00")


def words_of_xlsx(path):
    import openpyxl
    found = []
    for sheet in openpyxl.load_workbook(path, data_only=True).worksheets:
        found.append(sheet.title)
        for row in sheet.iter_rows(values_only=True):
            for cell in row:
                if isinstance(cell, datetime.datetime):
                    cell = date(cell, None)
                elif isinstance(cell, datetime.time):
                    cell = f"{cell.hour}:{cell.minute:02}:{cell.second:02}"
                elif isinstance(cell, bool):
                    cell = str(cell).upper()
                elif isinstance(cell, float):
                    cell = number(cell)
                found.append("" if cell is None else str(cell))
    return "\n".join(found)


def words_of_xls(path):
    import xlrd
    book = xlrd.open_workbook(path, logfile=open(os.devnull, "w"))
    found = []
    for sheet in book.sheets():
        found.append(sheet.name)
        for row in range(sheet.nrows):
            for cell in sheet.row(row):
                if cell.ctype == xlrd.XL_CELL_DATE:
                    try:
                        found.append(date(xlrd.xldate_as_datetime(cell.value, book.datemode), cell.value))
                    except (ValueError, OverflowError):
                        found.append(number(cell.value))
                elif cell.ctype == xlrd.XL_CELL_NUMBER:
                    found.append(number(cell.value))
                elif cell.ctype == xlrd.XL_CELL_TEXT:
                    found.append(cell.value)
                elif cell.ctype == xlrd.XL_CELL_BOOLEAN:
                    found.append(str(bool(cell.value)).upper())
    return "\n".join(found)


def words_of_odf(path):
    from odf import opendocument, table, teletype, text
    document = opendocument.load(path)
    found = []
    # Paragraphs that hold others give the words of those too: only the innermost count.
    for kind in (text.P, text.H):
        for element in document.body.getElementsByType(kind):
            inside = any(element.getElementsByType(inner) != [] and element.getElementsByType(inner) != [element]
                         for inner in (text.P, text.H))
            if not inside:
                found.append(teletype.extractText(element))
    return "\n".join(found)


def words_of_odt(path):
    text = output("odt2txt", "--width=-1", "--encoding=utf-8", path)
    return re.sub(r"\[-- (?:Image|object).*? --\]", " ", text)


def words_of_rtf(path):
    page = output("unrtf", "--html", "--nopict", path)
    page = re.sub(r"(?s)<head>.*?</head>|<!--.*?-->", " ", page)
    page = re.sub(r"</?(font|b|i|u|span|sup|sub|strike|a)\b[^>]*>", "", page)
    return html.unescape(re.sub(r"<[^>]*>", " ", page))


def message(path):
    return email.message_from_bytes(Path(path).read_bytes(), policy=email.policy.default)


def words_of_mail(path):
    parsed = message(path)
    found = []
    for part in parsed.walk():
        if part.get_content_type() == "text/plain" and not part.is_attachment():
            found.append(part.get_content())
    if not found:
        raise ValueError("no plain text")
    return "\n".join(found)


OTHER = {"word": words_of_word, "slides": words_of_slides, "xlsx": words_of_xlsx, "xls": words_of_xls, "odf text": words_of_odt,
         "odf sheet": words_of_odf, "odf slides": words_of_odf, "rtf": words_of_rtf, "mail": words_of_mail}


def words(text):
    """Words of letters and digits, composed and folded: punctuation, bullets and hyphens are drawn by each as it likes."""
    return collections.Counter(re.findall(r"\w+", unicodedata.normalize("NFKC", text.replace("\u00ad", "")).casefold()))


def plain(value):
    return " ".join(unicodedata.normalize("NFC", str(value)).replace("\0", " ").split())


def exif(paths):
    done = subprocess.run(["exiftool", "-j", "-G1", "-api", "LargeFileSupport=1", "-charset", "utf8", "-@", "-"],
                          input="\n".join(paths).encode(), capture_output=True)
    return {entry["SourceFile"]: entry for entry in json.loads(done.stdout or b"[]")}


def facts_of(path, family, entry):
    """Title and creators by another program; nothing where it gives none."""
    if family == "mail":
        parsed = message(path)
        raw = email.message_from_bytes(Path(path).read_bytes())["from"]
        decoded = [(str(email.header.make_header(email.header.decode_header(name))), address)
                   for name, address in email.utils.getaddresses([str(raw)] if raw else [])]
        return parsed["subject"], [f"{name} <{address}>" if name else address for name, address in decoded]
    get = lambda *names: next((entry[key] for name in names for key in entry if key.split(":")[-1] == name and str(entry[key]).strip()), None)
    # In ODF, `dc:creator` is whoever saved it last.
    creator = get("Initial-creator", "Creator") if family.startswith("odf") else get("Creator", "Author")
    creators = creator if isinstance(creator, list) else re.split(";", str(creator)) if creator is not None else []
    title = get("Title")
    return (title if not isinstance(title, list) else title[0]), creators


def late(*_):
    raise TimeoutError("later than 20 seconds")


def main():
    signal.signal(signal.SIGALRM, late)
    folder, program, extract = sys.argv[1:4]
    listing = "--list" in sys.argv
    files = sorted(str(path) for path in Path(folder).rglob("*") if path.is_file() and path.suffix[1:].lower() in FAMILY)
    lines = subprocess.run([extract, program], input="\n".join(files).encode(), capture_output=True, check=True).stdout
    ours = {entry["path"]: entry for entry in map(json.loads, lines.splitlines())}
    theirs = exif(files)
    counts = collections.defaultdict(collections.Counter)
    for path in files:
        family, found = FAMILY[path.rsplit(".", 1)[1].lower()], ours[path]
        count = counts[family]
        count["files"] += 1
        if "text" not in found:
            count["not read"] += 1
            kind = found.get("problem") or ("unsupported" if "mime" in found else "error")
            count[kind] += 1
            if listing:
                print("NOT READ", path, found.get("mime"), kind, found.get("message"), sep="\t")
            continue
        try:
            title, creators = facts_of(path, family, theirs.get(path, {}))
        except Exception:
            title, creators = None, []
        for what, given, read in [("title", [title or ""], found["fields"].get("title", [])),
                                  ("creator", creators, found["fields"].get("author", []))]:
            given = list(dict.fromkeys(filter(None, map(plain, given))))
            if given:
                count[what] += 1
                equal = given == read
                count[what + " equal"] += equal
                if listing and not equal:
                    print(what.upper(), path, given, read, sep="\t")
        try:
            # Some of the others take minutes for a large or broken file.
            signal.alarm(20)
            text = OTHER[family](path)
            signal.alarm(0)
        except Exception as error:
            signal.alarm(0)
            count["other failed"] += 1
            if listing:
                print("OTHER", path, str(error)[:100].replace("\n", " "), sep="\t")
            continue
        wanted, has = words(text), words(found["text"])
        missing = wanted - has
        count["words"] += wanted.total()
        count["words found"] += wanted.total() - missing.total()
        if listing and missing.total() > 0.02 * wanted.total():
            print("WORDS", path, f"{missing.total()} of {wanted.total()}", list(missing)[:12], sep="\t")
    print("| kind | files | not read | titles equal | creators equal | words found | other program failed |\n|---|---|---|---|---|---|---|")
    total = collections.Counter()
    for family, count in [*counts.items(), ("all", total)]:
        share = lambda part, whole: f"{count[part]} of {count[whole]} ({count[part] / count[whole]:.1%})" if count[whole] else "-"
        print(f"| {family} | {count['files']} | {count['not read']} | {share('title equal', 'title')} | {share('creator equal', 'creator')}"
              f" | {share('words found', 'words')} | {count['other failed']} |")
        if family != "all":
            total.update(count)


if __name__ == "__main__":
    main()

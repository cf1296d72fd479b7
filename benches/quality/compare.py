#!/usr/bin/env python3
"""Holds what is read out of PDFs and EPUBs against what other programs read out of them.

usage: compare.py PROGRAM EXTRACT COLLECTION [--markdown FILE]

PROGRAM is the built `shelflist`, EXTRACT the built example `extract` (both `cargo build --release --examples --bins`), COLLECTION
what `collect.py` made. Needs poppler-utils (pdftotext, pdfinfo).

PDF: words against `pdftotext`, title, author, date of making, number of pages and version against `pdfinfo`. EPUB: title, creators,
language, date and identifiers against the package document (OPF), read here with Python's own XML parser; words against the
text of the chapters in reading order, stripped of tags here.

Words are compared as bags: recall is the share of the other program's words that are in our text as often, precision the share
of ours that are in the other's. A word is a run of letters and digits after NFKC and case folding; where words are not parted by
spaces (Chinese, Japanese, Thai) every character is one. What is NOT compared: reading order across columns, and line ends. Hyphens at the end of a line are taken out of
both texts.
"""

import argparse
import collections
import html
import json
import pathlib
import posixpath
import re
import statistics
import subprocess
import sys
import unicodedata
import urllib.parse
import xml.etree.ElementTree
import zipfile

UNPARTED = r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
WORD = re.compile(rf"{UNPARTED}|(?:(?!{UNPARTED})[^\W_])+")
DIVIDED = re.compile(r"(?<=[^\W\d_])[-\u00ad\u2010]\n(?=[^\W\d_])")


def words(text):
    text = DIVIDED.sub("", text.replace("\r\n", "\n").replace("\f", "\n"))
    return collections.Counter(WORD.findall(unicodedata.normalize("NFKC", text).casefold().replace("\u00ad", "")))


def shares(ours, theirs):
    both = sum((ours & theirs).values())
    return both / max(1, sum(theirs.values())), both / max(1, sum(ours.values()))


def extracted(program, extract, paths):
    """What we read, by path."""
    names = "".join(f"{path}\n" for path in paths)
    done = subprocess.run([extract, program], input=names, capture_output=True, text=True, check=True)
    lines = (json.loads(line) for line in done.stdout.splitlines())
    return {pathlib.Path(line["path"]): line for line in lines}


def tool(*command):
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def plain(value):
    return " ".join(unicodedata.normalize("NFKC", value or "").split())


# What we leave out on purpose.
PLACEHOLDERS = {"", "untitled", "(anonymous)", "unknown", "document1"}


def reason(field, ours, theirs):
    """Why two values differ, as far as a program can tell."""
    if not ours:
        return "placeholder, left out on purpose" if theirs.casefold() in PLACEHOLDERS else "missing"
    if theirs.startswith("Microsoft Word - "):
        return "program's prefix, left out on purpose"
    if sorted(ours) == sorted(theirs):
        return "other order"
    if not theirs.isascii() or not ours.isascii():
        return "encoding"
    return "different"


def information(path):
    lines = (tool("pdfinfo", "-enc", "UTF-8", "-isodates", path) or "").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line and not line.startswith(" "))
    return {key.strip(): value.strip() for key, value in pairs}


def producer_of(info):
    """The program that made a PDF, without its version."""
    producer = (info.get("Producer") or info.get("Creator") or "none given").strip()
    return re.split(r"[\s(,;-]*[\d(]", producer)[0].strip() or producer


def pdf_facts(path):
    """What poppler says: text, and facts by field."""
    text = tool("pdftotext", "-enc", "UTF-8", path, "-")
    info = information(path)
    facts = {"title": plain(info.get("Title")), "author": plain(info.get("Author"))}
    facts["date"] = info.get("CreationDate", "")[:10]
    facts["extent"] = re.sub(r"^1 pages$", "1 page", f"{info['Pages']} pages") if "Pages" in info else ""
    facts["format"] = f"PDF {info['PDF version']}" if "PDF version" in info else ""
    return text, facts, producer_of(info)


def local(element):
    return element.tag.rpartition("}")[2]


def epub_facts(path):
    """What the package document says, and the text of its chapters."""
    with zipfile.ZipFile(path) as book:
        container = xml.etree.ElementTree.fromstring(book.read("META-INF/container.xml"))
        opf = next(element.get("full-path") for element in container.iter() if local(element) == "rootfile")
        package = xml.etree.ElementTree.fromstring(book.read(opf))
        values = collections.defaultdict(list)
        metadata = next(element for element in package if local(element) == "metadata")
        for element in metadata:
            values[local(element)].append(plain("".join(element.itertext())))
        hrefs = {item.get("id"): item.get("href") for item in package.iter() if local(item) == "item"}
        text, seen = [], set()
        for itemref in (item for item in package.iter() if local(item) == "itemref"):
            href = urllib.parse.unquote(hrefs[itemref.get("idref")].partition("#")[0])
            name = posixpath.normpath(posixpath.join(posixpath.dirname(opf), href))
            if name in seen:
                continue
            seen.add(name)
            try:
                page = book.read(name).decode("utf-8", "replace")
            except KeyError:
                continue
            page = re.sub(r"(?s)<(head|script|style)\b[^>]*?(/>|>.*?</\1>)", " ", page)
            page = re.sub(r"(?s)<!--.*?-->|<\?.*?\?>|<!\[CDATA\[|\]\]>|<!DOCTYPE.*?>", " ", page)
            page = re.sub(r"</?(b|i|em|strong|span|a|code|sub|sup|tt|q|small|u)\b[^>]*>", "", page)
            text.append(html.unescape(re.sub(r"<[^>]*>", " ", page)))
    facts = {"title": next(iter(values["title"]), ""), "author": "; ".join(dict.fromkeys(values["creator"]))}
    facts["language"] = next(iter(values["language"]), "")
    facts["date"] = next(iter(values["date"]), "")
    facts["format"] = f"EPUB {package.get('version')}"
    return "\n".join(text), facts, "EPUB"


def compare(kind, paths, facts_of, program, extract):
    ours = extracted(program, extract, paths)
    rows, differing, fields = [], [], collections.defaultdict(lambda: [0, 0])
    for path in paths:
        found = ours[path]
        text, facts, producer = facts_of(path)
        if text is None or "text" not in found:
            rows.append((path, producer, None, None, 0, found.get("message") or found.get("error") or "the other program fails"))
            continue
        theirs, mine = words(text), words(found["text"])
        recall, precision = shares(mine, theirs)
        rows.append((path, producer, recall, precision, sum(theirs.values()), ""))
        for field, value in facts.items():
            if not value:
                continue
            own = plain("; ".join(found["fields"].get(field, [])))
            is_same = own == value or re.sub(r"[\s;]+", " ", own) == re.sub(r"[\s;]+", " ", value.strip("; "))
            fields[field][0] += is_same
            fields[field][1] += 1
            if not is_same:
                differing.append((field, reason(field, own, value), path.name, own, value))
    return kind, rows, dict(fields), differing


def report(kind, rows, fields, differing, out):
    read = [row for row in rows if row[2] is not None]
    wordy = [row for row in read if row[4] >= 20]
    total = sum(row[4] for row in wordy)
    print(f"\n## {kind}: {len(rows)} files, {len(read)} read by both\n", file=out)
    for row in rows:
        if row[2] is None:
            print(f"- not compared: {row[0].name}: {row[5]}", file=out)
    recall, precision = ([row[at] for row in wordy] for at in (2, 3))
    weighted = [sum(row[at] * row[4] for row in wordy) / max(1, total) for at in (2, 3)]
    print(f"\n| {len(wordy)} files of 20 words and more | recall | precision |\n|---|---|---|", file=out)
    print(f"| all {total} words | {weighted[0]:.4f} | {weighted[1]:.4f} |", file=out)
    print(f"| median file | {statistics.median(recall):.4f} | {statistics.median(precision):.4f} |", file=out)
    for share in (0.10, 0.05):
        at = int(len(wordy) * share)
        print(f"| worst {share:.0%} begin at | {sorted(recall)[at]:.4f} | {sorted(precision)[at]:.4f} |", file=out)
    below = sum(value < 0.98 for value in recall)
    print(f"| files below 0.98 | {below} | {sum(value < 0.98 for value in precision)} |", file=out)

    print("\n| made by | files | words | recall | precision |\n|---|---|---|---|---|", file=out)
    by_producer = collections.defaultdict(list)
    for row in wordy:
        by_producer[row[1]].append(row)
    for producer, several in sorted(by_producer.items(), key=lambda pair: -len(pair[1])):
        count = sum(row[4] for row in several)
        means = [sum(row[at] * row[4] for row in several) / max(1, count) for at in (2, 3)]
        print(f"| {producer} | {len(several)} | {count} | {means[0]:.4f} | {means[1]:.4f} |", file=out)

    print("\nThe files with the lowest recall:\n", file=out)
    for path, producer, recall, precision, count, _ in sorted(wordy, key=lambda row: row[2])[:25]:
        print(f"- {recall:.4f} / {precision:.4f}: {path.name} ({producer}, {count} words)", file=out)
    print("\n| field | equal | of |\n|---|---|---|", file=out)
    for field, (same, of) in fields.items():
        print(f"| {field} | {same} ({same / of:.1%}) | {of} |", file=out)
    print("\nDiffering values, ours and theirs:\n", file=out)
    for field, why, name, own, value in sorted(differing):
        print(f"- {field}, {why}: {name}: {own!r} / {value!r}", file=out)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("program")
    arguments.add_argument("extract")
    arguments.add_argument("collection", type=pathlib.Path)
    arguments.add_argument("--markdown", type=argparse.FileType("w"), default=sys.stdout)
    arguments = arguments.parse_args()
    for kind, suffix, facts_of in (("PDF", "pdf", pdf_facts), ("EPUB", "epub", epub_facts)):
        paths = sorted((arguments.collection / suffix).glob(f"*.{suffix}"))
        if paths:
            report(*compare(kind, paths, facts_of, arguments.program, arguments.extract), arguments.markdown)


if __name__ == "__main__":
    main()

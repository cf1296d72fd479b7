#!/usr/bin/env python3
"""Compares what shelflist reads out of recordings, pictures and archives with what other tools read out of them.

usage: benches/quality/media.py EXTRACT PROGRAM DIRECTORY...

EXTRACT is the built examples/extract, PROGRAM the built shelflist. Needs `mediainfo` (recordings), `exiftool`
(pictures) and Python's zipfile and tarfile (archives). Prints a table and every difference, and fails where fewer than
95 % of the titles or creators that the tools give came out equal.

What counts as the other tool's word:
 recordings  mediainfo's Title; Performer, else Album/Performer, else Composer; Duration, one second more or less forgiven
 pictures    exiftool's XMP-dc:Title, else IPTC:ObjectName, XPTitle, PNG's Title, IPTC:Headline; its MWG:Creator (the rules of
             the Metadata Working Group as its author has them), else XPAuthor, PNG's Author; MWG:Description; ImageSize
 archives    the number of members that are no directories
A tool's value counts only where it has one. White space is collapsed on both sides.
"""
import collections, json, re, subprocess, sys, tarfile, unicodedata, zipfile
from pathlib import Path

AUDIO = {"mp3", "flac", "ogg", "oga", "opus", "m4a", "m4b", "wav", "aif", "aiff", "ape", "wv", "mpc", "spx", "aac", "mp2"}
IMAGE = {"jpg", "jpeg", "png", "tif", "tiff", "gif", "webp", "heic", "heif", "avif", "psd", "bmp", "cr2", "cr3", "nef", "arw",
         "orf", "rw2", "raf", "dng", "jxl", "pef", "srw"}
ARCHIVE = {"zip", "jar", "whl", "apk", "tar", "gz", "tgz", "bz2", "xz", "tbz2", "txz"}


def plain(value):
    return " ".join(unicodedata.normalize("NFC", str(value)).replace("\0", " ").split())


def values(value):
    """A tool's value or values as a list."""
    if value is None:
        return []
    listed = value if isinstance(value, list) else [value]
    return [text for text in map(plain, listed) if text]


def ours(extract, program, paths):
    lines = subprocess.run([extract, program], input="\n".join(paths) + "\n", capture_output=True, text=True, check=True).stdout
    return {found["path"]: found for found in map(json.loads, lines.splitlines())}


def seconds(extent):
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d)", extent or "")
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3]) if match else None


def batches(paths, size=200):
    for at in range(0, len(paths), size):
        yield paths[at : at + size]


def mediainfo(paths):
    found = {}
    for batch in batches(paths):
        out = subprocess.run(["mediainfo", "--Output=JSON", *batch], capture_output=True, text=True).stdout
        for one in (lambda said: said if isinstance(said, list) else [said])(json.loads(out)):
            media = one.get("media") or {}
            track = next((track for track in media.get("track", []) if track["@type"] == "General"), {})
            duration = track.get("Duration")
            people = track.get("Performer") or track.get("Album_Performer") or track.get("Composer")
            found[media.get("@ref")] = {
                "title": values(track.get("Title")),
                # It joins several people by a slash, whoever wrote the slash.
                "creator": values(people),
                "extent": round(float(duration)) if duration else None,
            }
    return found


def exiftool(paths):
    found = {}
    for batch in batches(paths):
        out = subprocess.run(["exiftool", "-j", "-G1", "-use", "MWG", "-charset", "iptc=latin1", "-XMP-dc:Title", "-IPTC:ObjectName",
                              "-IFD0:XPTitle", "-PNG:Title", "-IPTC:Headline", "-XMP-photoshop:Headline", "-MWG:Creator", "-IFD0:XPAuthor",
                              "-PNG:Author", "-MWG:Description", "-ImageSize", "-MIMEType", *batch], capture_output=True, text=True).stdout
        for one in json.loads(out or "[]"):
            first = lambda *names: next((values(one[name]) for name in names if values(one.get(name))), [])
            found[one["SourceFile"]] = {
                "title": first("XMP-dc:Title", "IPTC:ObjectName", "IFD0:XPTitle", "PNG:Title", "XMP-photoshop:Headline", "IPTC:Headline"),
                "creator": first("MWG:Creator", "XMP-dc:Creator", "IPTC:By-line", "IFD0:XPAuthor", "PNG:Author"),
                "description": first("MWG:Description"),
                "extent": one.get("Composite:ImageSize"),
                "mime": one.get("File:MIMEType", ""),
            }
    return found


def members(path):
    try:
        if zipfile.is_zipfile(path) and path.lower().endswith((".zip", ".jar", ".whl", ".apk")):
            return sum(not name.is_dir() for name in zipfile.ZipFile(path).infolist())
        return sum(not member.isdir() for member in tarfile.open(path))
    except Exception:
        return None


def same_people(said, found):
    joined = lambda people: sorted(re.split(r" ?[/;,] ?|\0", ";".join(people)))
    return said == found or joined(said) == joined(found)


class Table:
    def __init__(self):
        self.counts, self.differences = collections.Counter(), []

    def add(self, family, what, path, said, found, equal):
        self.counts[family, what, "given"] += 1
        self.counts[family, what, "equal"] += equal
        if not equal:
            self.differences.append((family, what, path, said, found))


def main():
    extract, program, *directories = sys.argv[1:]
    paths = sorted(str(path) for directory in directories for path in Path(directory).rglob("*")
                   if path.is_file() and not path.is_symlink() and "\n" not in str(path))
    of = lambda kinds: [path for path in paths if path.rsplit(".", 1)[-1].lower() in kinds]
    audio, image, archive = of(AUDIO), of(IMAGE), of(ARCHIVE)
    found = ours(extract, program, audio + image + archive)
    field = lambda path, name: (found[path].get("fields") or {}).get(name, [])
    table, outcomes = Table(), collections.Counter()
    for family, listed in (("audio", audio), ("image", image), ("archive", archive)):
        for path in listed:
            outcomes[family, found[path].get("problem") or ("extracted" if "fields" in found[path] else "unsupported")] += 1

    for path, said in mediainfo(audio).items():
        if path not in found or "fields" not in found[path]:
            continue
        if said["title"]:
            table.add("audio", "title", path, said["title"], field(path, "title"), said["title"] == field(path, "title"))
        if said["creator"]:
            table.add("audio", "creator", path, said["creator"], field(path, "author"), same_people(said["creator"], field(path, "author")))
        if said["extent"]:
            length = seconds(next(iter(field(path, "extent")), None))
            table.add("audio", "extent", path, said["extent"], length, length is not None and abs(length - said["extent"]) <= 1)
    for path, said in exiftool(image).items():
        if path not in found or "fields" not in found[path]:
            continue
        for what, name in (("title", "title"), ("description", "description")):
            if said[what]:
                table.add("image", what, path, said[what], field(path, name), said[what][0] == next(iter(field(path, name)), None))
        if said["creator"]:
            table.add("image", "creator", path, said["creator"], field(path, "author"), same_people(said["creator"], field(path, "author")))
        if said["extent"]:
            size = next(iter(field(path, "extent")), "").removesuffix(" pixels").replace(" ", "")
            table.add("image", "extent", path, said["extent"], size, said["extent"] == size)
    for path in archive:
        count = members(path)
        if count is not None and "fields" in found[path]:
            extent = next(iter(field(path, "extent")), "")
            single = path.endswith(".gz") and extent == "1 file"
            table.add("archive", "extent", path, count, extent, single or extent.split(" ")[0] == str(count))

    for (family, outcome), count in sorted(outcomes.items()):
        print(f"{family}: {count} {outcome}")
    for family, what in sorted({key[:2] for key in table.counts}):
        given, equal = table.counts[family, what, "given"], table.counts[family, what, "equal"]
        print(f"{family} {what}: {equal} of {given} equal ({100 * equal / given:.1f} %)")
    enough = True
    for what in ("title", "creator"):
        given, equal = (sum(count for (_, which, kind), count in table.counts.items() if (which, kind) == (what, of)) for of in ("given", "equal"))
        print(f"all {what}s: {equal} of {given} equal ({100 * equal / max(given, 1):.1f} %)")
        enough &= equal >= 0.95 * given
    print()
    for family, what, path, said, mine in table.differences:
        print(f"{family} {what}: {path}: {said!r} here {mine!r}")
    for path, one in sorted(found.items()):
        if "problem" in one or "error" in one:
            print(f"not read: {path}: {one.get('problem', 'error')}: {one.get('message') or one.get('error')}")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())

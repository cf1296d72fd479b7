#!/usr/bin/env python3
"""Real documents for the comparisons of this directory: the PDFs and EPUBs that Debian packages bring along.

usage: collect.py DIRECTORY

Downloads the packages named below with `apt-get download` (some 400 MB; kept in DIRECTORY/packages, and not loaded
again), unpacks them and puts every different PDF and EPUB into DIRECTORY/pdf and DIRECTORY/epub, at most 30 of a kind a
package, so that no packager of TeX outvotes the others. DIRECTORY/collection.tsv says what was taken: hash, size, package, version, path
in it. Nothing is installed. What a package is called differs between releases of Debian: one that is not there is named and
left out.
"""

import collections
import gzip
import hashlib
import pathlib
import shutil
import subprocess
import sys

# By what makes their documents; a package often holds several kinds.
PACKAGES = """
debian-reference-en debian-reference-fr debian-reference-de debian-reference-ja debian-reference-zh-cn
debian-policy debian-faq debian-faq-ru harden-doc maint-guide maint-guide-ru debmake-doc
developers-reference developers-reference-de developers-reference-fr developers-reference-it developers-reference-ja
developers-reference-ru installation-guide-amd64 live-manual-pdf live-manual-epub calibre
texlive-humanities-doc texlive-lang-arabic texlive-lang-chinese texlive-lang-cyrillic texlive-xetex
fonts-hosny-amiri fonts-junicode fonts-sil-abyssinica fonts-sil-charis fonts-sil-doulos fonts-sil-ezra fonts-sil-galatia
fonts-sil-gentium fonts-sil-nuosusil fonts-sil-padauk fonts-sil-scheherazade
asymptote-doc auctex avr-libc brltty cups-filters dblatex-doc docbook-xsl-doc-pdf evince fop-doc gap-guava gnuplot-doc
gprolog-doc groff gtkwave hplip-doc impressive kicad-doc-ja laby mit-scheme-doc netcdf-doc ngspice-doc ocrmypdf-doc
octave-doc pari-doc plplot-doc postgis-doc python-reportlab-doc r-cran-rcpp r-cran-survival r-doc-pdf sdcc-doc xfig-doc
xorg-docs
""".split()

MOST = 30


def download(name, packages):
    """The package's file, loaded unless it is there; none where Debian has no such package."""
    there = sorted(packages.glob(f"{name}_*.deb"))
    if not there:
        loaded = subprocess.run(["apt-get", "download", "-qq", name], cwd=packages, capture_output=True, text=True)
        if loaded.returncode != 0:
            print(f"left out: {name}: {loaded.stderr.strip()}", file=sys.stderr)
        there = sorted(packages.glob(f"{name}_*.deb"))
    return there[-1] if there else None


def documents(tree):
    """PDFs and EPUBs below a directory, in an order that only depends on their names: (kind, path in the package, bytes)."""
    for path in sorted(tree.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        name = path.name.lower()
        packed = name.endswith(".gz")
        kind = name.removesuffix(".gz").rpartition(".")[2]
        if kind in ("pdf", "epub"):
            content = path.read_bytes()
            yield kind, str(path.relative_to(tree)), gzip.decompress(content) if packed else content


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    work = pathlib.Path(sys.argv[1]).absolute()
    packages = work / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    for kind in ("pdf", "epub"):
        shutil.rmtree(work / kind, ignore_errors=True)
        (work / kind).mkdir()
    seen, taken = set(), []
    for package in PACKAGES:
        deb = download(package, packages)
        if deb is None:
            continue
        tree = work / "unpacked"
        shutil.rmtree(tree, ignore_errors=True)
        subprocess.run(["dpkg-deb", "-x", deb, tree], check=True)
        found = collections.defaultdict(list)
        for kind, path, content in documents(tree):
            digest = hashlib.sha256(content).hexdigest()
            if digest not in seen:
                seen.add(digest)
                found[kind].append((digest, path, content))
        for kind, several in found.items():
            # By hash: any 30 are as good as any other, but they should be the same ones every time.
            for digest, path, content in sorted(several)[:MOST]:
                stem = pathlib.Path(path).name.removesuffix(".gz").rpartition(".")[0]
                (work / kind / f"{package}--{stem}-{digest[:6]}.{kind}").write_bytes(content)
                taken.append((digest, str(len(content)), package, deb.name.split("_")[1], path))
    shutil.rmtree(work / "unpacked", ignore_errors=True)
    (work / "collection.tsv").write_text("".join("\t".join(row) + "\n" for row in taken))
    for kind in ("pdf", "epub"):
        of_kind = [row for row in taken if row[4].lower().removesuffix(".gz").endswith(kind)]
        size = sum(int(row[1]) for row in of_kind) / 1e6
        print(f"{len(of_kind)} {kind} of {len({row[2] for row in of_kind})} packages, {size:.0f} MB")


if __name__ == "__main__":
    main()

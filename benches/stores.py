#!/usr/bin/env python3
"""Measures sending to stores beside tools that do the same work, and prints a Markdown table.

usage: benches/stores.py [--only small,large,dir,drain,check] [--runs N] [--work DIR] [--files N] [--mebibytes N] [--objects N]

Needs rclone (tests/peers/install.sh puts one under target/peers; otherwise the one of PATH) and GNU time. The program is
target/release/shelflist, or what SHELFLIST names. Server and client share the machine, so all that is saved at either end
counts. Each run sends everything into a place of its own; peers take turns. Quote medians and ratios of one run of this
script: absolute times differ between machines. The library was scanned before; what is measured is `sync now`.

  small   10,000 files of 8 KB to rclone's S3 server, beside `rclone copy --transfers 16`
  large   20 files of 100 MB to the same, beside `rclone copy`, with peak memory
  drain   10,000 files of 100 bytes to `dir:` in memory (/dev/shm), which costs next to nothing: the price of the queue itself
  dir     the same 20 files to `dir:`, beside `cp -r` and an fsync of each
  check   `store check` of a million objects in memory, beside a list of the same with sizes by `rclone lsf -R`; only when asked for:
          it takes 6 GB of /dev/shm
"""
import argparse, os, random, shutil, socket, statistics, subprocess, sys, tempfile, time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
SHELFLIST = os.environ.get("SHELFLIST", str(HERE / "target/release/shelflist"))
PEER = HERE / "target/peers/venv/bin/rclone"
RCLONE = str(PEER) if PEER.exists() else "rclone"
ID, SECRET = "bench", "benchsecret"


def tree(root, files, size):
    if root.exists():
        return
    made = root.with_name(root.name + ".making")
    shutil.rmtree(made, ignore_errors=True)
    seed = random.Random(7)
    for n in range(files):
        place = made / f"{n // 100:03}"
        place.mkdir(parents=True, exist_ok=True)
        with open(place / f"{n:05}.bin", "wb") as file:
            left = size
            while left:
                block = seed.randbytes(min(left, 1 << 20))
                file.write(block)
                left -= len(block)
    old = time.time() - 86_400
    for path in made.rglob("*.bin"):
        os.utime(path, (old, old))
    made.rename(root)


def timed(command, env=None):
    """Wall seconds and peak memory in MB."""
    with tempfile.NamedTemporaryFile("r") as out:
        begun = time.monotonic()
        done = subprocess.run(["/usr/bin/time", "-o", out.name, "-f", "%M", *command],
                              env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        took = time.monotonic() - begun
        if done.returncode:
            sys.exit(f"{command}: exit {done.returncode}\n{done.stdout}")
        return took, int(out.read().split()[-1]) / 1024


class Server:
    """rclone's S3 server over a directory."""

    def __init__(self, data):
        self.data = data
        shutil.rmtree(data, ignore_errors=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        env = {**os.environ, "RCLONE_AUTH_KEY": f'"{ID},{SECRET}"'}
        (data / "bucket").mkdir(parents=True)
        self.process = subprocess.Popen([RCLONE, "serve", "s3", str(data), "--addr", f"127.0.0.1:{self.port}"],
                                        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.05)

    def objects(self):
        return sum(1 for path in (self.data / "bucket").rglob("*") if path.is_file())

    def end(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.data, ignore_errors=True)


def catalogue(work, root):
    """A home whose library was scanned."""
    home = work / f"home-{root.name}"
    env = {**os.environ, "SHELFLIST_HOME": str(home), "AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": SECRET,
           "AWS_EC2_METADATA_DISABLED": "true"}
    shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(root / ".shelflist", ignore_errors=True)
    for command in (["init", str(root)], ["scan"]):
        timed([SHELFLIST, *command], env)
    return home, env


def ours(home, env, work, url, count):
    """Sends everything to a new store out of a copy of the catalogue."""
    run = work / "home-run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(home, run)
    env = {**env, "SHELFLIST_HOME": str(run)}
    timed([SHELFLIST, "store", "add", url, "--name", "bench", "--payload", "original"], env)
    os.sync()
    result = timed([SHELFLIST, "sync", "now"], env)
    left = subprocess.run([SHELFLIST, "--json", "sync", "queue"], env=env, capture_output=True, text=True).stdout
    if count() is not True:
        sys.exit(f"not everything arrived: {left[:500]}")
    return result


def to_s3(work, root, files, runs, transfers):
    home, env = catalogue(work, root)
    ours_runs, theirs_runs = [], []
    for turn in range(runs + 1):
        server = Server(work / "server")
        url = f"s3://bucket?endpoint=http://127.0.0.1:{server.port}&region=us-east-1"
        mine = ours(home, env, work, url, lambda: server.objects() == files + 2)  # with the generation and the device
        server.end()
        server = Server(work / "server")
        remote = (f":s3,provider=Rclone,access_key_id={ID},secret_access_key={SECRET},"
                  f"endpoint='http://127.0.0.1:{server.port}',force_path_style=true:bucket")
        os.sync()
        theirs = timed([RCLONE, "copy", str(root), remote, "--transfers", str(transfers), "--exclude", "/.shelflist/**"])
        if server.objects() != files:
            sys.exit("rclone did not send everything")
        server.end()
        if turn:
            ours_runs.append(mine)
            theirs_runs.append(theirs)
    return ours_runs, theirs_runs


def to_dir(work, root, files, runs):
    home, env = catalogue(work, root)
    ours_runs, theirs_runs = [], []
    for turn in range(runs + 1):
        store = work / "store"
        shutil.rmtree(store, ignore_errors=True)
        stands = lambda: sum(1 for path in (store / "original").rglob("*") if path.is_file()) == files
        mine = ours(home, env, work, f"dir:{store}", stands)
        shutil.rmtree(store)
        target = work / "copy"
        shutil.rmtree(target, ignore_errors=True)
        os.sync()
        script = f"cp -r '{root}' '{target}' && find '{target}' -type f -exec sync {{}} +"
        theirs = timed(["sh", "-c", script])
        shutil.rmtree(target)
        if turn:
            ours_runs.append(mine)
            theirs_runs.append(theirs)
    return ours_runs, theirs_runs


def checked(objects, runs):
    """A store that has everything, compared with the ledger."""
    ours_runs, theirs_runs = [], []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        memory = Path(memory)
        root, store = memory / "library", memory / "store"
        tree(root, objects, 16)
        home, env = catalogue(memory, root)
        stands = lambda: sum(len(files) for _, _, files in os.walk(store / "original")) == objects
        ours(home, env, memory, f"dir:{store}", stands)
        env = {**env, "SHELFLIST_HOME": str(memory / "home-run")}
        for turn in range(runs + 1):
            mine = timed([SHELFLIST, "store", "check"], env)
            theirs = timed(["sh", "-c", f"'{RCLONE}' lsf -R --files-only --format ps '{store}' >/dev/null"])
            if turn:
                ours_runs.append(mine)
                theirs_runs.append(theirs)
    return ours_runs, theirs_runs


def row(name, ours_runs, theirs_runs, peer):
    median = lambda runs, at: statistics.median(run[at] for run in runs)
    mine, theirs = median(ours_runs, 0), median(theirs_runs, 0)
    spread = ", ".join(f"{run[0]:.1f}" for run in ours_runs)
    print(f"| {name} | {mine:.2f} s ({spread}) | {median(ours_runs, 1):.0f} MB | {theirs:.2f} s | "
          f"{median(theirs_runs, 1):.0f} MB | {theirs / mine:.2f} x {peer} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="small,large,dir,drain")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--mebibytes", type=int, default=100)
    parser.add_argument("--objects", type=int, default=1_000_000)
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="shelflist-stores-"))
    work.mkdir(parents=True, exist_ok=True)
    print("| work | shelflist (each run) | peak | peer | peak | rate |\n|---|---|---|---|---|---|")
    if "small" in options.only:
        root = work / f"small-{options.files}"
        tree(root, options.files, 8_192)
        row(f"{options.files:,} files of 8 KB to `s3:`", *to_s3(work, root, options.files, options.runs, 16),
            "`rclone copy --transfers 16`")
    large = work / f"large-{options.mebibytes}"
    if "large" in options.only or "dir" in options.only:
        tree(large, 20, options.mebibytes << 20)
    if "large" in options.only:
        row(f"20 files of {options.mebibytes} MiB to `s3:`", *to_s3(work, large, 20, options.runs, 4), "`rclone copy`")
    if "dir" in options.only:
        row(f"20 files of {options.mebibytes} MiB to `dir:`", *to_dir(work, large, 20, options.runs),
            "`cp -r` and fsync")
    if "drain" in options.only:
        root = work / "drain-10000"
        tree(root, 10_000, 100)
        home, env = catalogue(work, root)
        runs = []
        for turn in range(options.runs + 1):
            with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
                store = Path(memory) / "store"
                stands = lambda: sum(1 for path in (store / "original").rglob("*") if path.is_file()) == 10_000
                run = ours(home, env, work, f"dir:{store}", stands)
                if turn:
                    runs.append(run)
        spread = ", ".join(f"{run[0]:.2f}" for run in runs)
        print(f"| 10,000 operations to a store without cost | {statistics.median(run[0] for run in runs):.2f} s ({spread}) | "
              f"{statistics.median(run[1] for run in runs):.0f} MB | | | |", flush=True)
    if "check" in options.only:
        row(f"`store check` of {options.objects:,} objects", *checked(options.objects, options.runs), "`rclone lsf -R`")
    if options.work is None:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Side-by-side load on S3 servers: throughput, latency, CPU and memory. Python 3.9+, standard library only.

  s3load.py --target NAME=http://HOST:PORT,ACCESS,SECRET[,REGION[,PID+PID...]] [--target ...]

Every workload runs on every target in turn, round after round (A B, B A, ...), so that a machine that
drifts hurts all alike. Each client is a process of its own with one keep-alive connection. bench/README.md
says what each figure means and how to start the servers.
"""
import argparse
import array
import contextlib
import datetime
import hashlib
import hmac
import json
import multiprocessing
import os
import platform
import random
import re
import resource
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# Keys differ in content: key i holds CONTENT[i * SHIFT:][:size]. Random, so that nobody can compress it.
SHIFT = 4099
SHIFTS_MAX = 2000
CONTENT = memoryview(b"")

TIMEOUT = 60.0  # seconds without progress until a request has failed
START_MAX = 120.0  # seconds for all clients to sign their requests
SETTLE_MAX = 10.0  # seconds to wait for a server's background work after a workload
SETTLED_BELOW = 0.03  # CPU seconds in half a second that count as idle
READ_BUFFER = 512 * KIB
LISTED = 1000  # keys in the listed folder


@dataclass(frozen=True)
class Workload:
    kind: str  # put | get | range | list
    size: int  # bytes of payload in each request
    clients: int
    keys: int  # distinct keys: of all clients (reads) or of each client and round (writes)
    object_size: int = 0  # bytes of the objects that are read, if not `size`


WORKLOADS = {
    "put-4KiB": Workload("put", 4 * KIB, 16, 1000),
    "get-4KiB": Workload("get", 4 * KIB, 16, 500),
    "put-256KiB": Workload("put", 256 * KIB, 16, 60),
    "get-256KiB": Workload("get", 256 * KIB, 16, 200),
    "put-64MiB-x4": Workload("put", 64 * MIB, 4, 12),
    "put-64MiB-x1": Workload("put", 64 * MIB, 1, 12),
    "get-64MiB-x4": Workload("get", 64 * MIB, 4, 8),
    "get-64MiB-x1": Workload("get", 64 * MIB, 1, 8),
    "range-64KiB": Workload("range", 64 * KIB, 16, 8, 64 * MIB),
    "list-1000": Workload("list", 0, 4, 1),
}
# What is measured again once --degrade has taken part of a server away.
DEGRADED = ["get-64MiB-x4", "get-64MiB-x1", "range-64KiB"]


class Failed(Exception):
    """A request that did not do what it should; its text is counted and shown."""


# --- S3 over one socket -------------------------------------------------------------------------------


class Target:
    """A server under load: where it is, how to sign for it, and which processes it consists of."""

    def __init__(self, spec):
        self.name, _, rest = spec.partition("=")
        fields = rest.split(",")
        if not self.name or not 3 <= len(fields) <= 5:
            sys.exit(f"--target {spec.split(',')[0]}: expected NAME=http://HOST:PORT,ACCESS,SECRET[,REGION[,PID+PID]]")
        url = urllib.parse.urlsplit(fields[0])
        if url.scheme != "http" or not url.hostname or url.path.strip("/"):
            sys.exit(f"--target {self.name}: expected http://HOST:PORT; with TLS one would measure the TLS")
        self.address, self.host = (url.hostname, url.port or 80), url.netloc
        self.access, self.secret = fields[1], fields[2]
        self.region = fields[3] if len(fields) > 3 and fields[3] else "us-east-1"
        self.pids = [int(pid) for pid in fields[4].split("+")] if len(fields) > 4 and fields[4] else []
        self._day, self._key = "", b""

    def _signing_key(self, day):
        if day != self._day:
            key = ("AWS4" + self.secret).encode()
            for word in (day, self.region, "s3", "aws4_request"):
                key = hmac.digest(key, word.encode(), "sha256")
            self._day, self._key = day, key
        return self._key

    def head(self, method, path, query=(), headers=(), length=None):
        """The head of a presigned request (SigV4 in the query, payload unsigned), ready to be sent."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        day = now[:8]
        scope = f"{day}/{self.region}/s3/aws4_request"
        fields = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.access}/{scope}",
            "X-Amz-Date": now,
            "X-Amz-Expires": "86400",
            "X-Amz-SignedHeaders": "host",
            **dict(query),
        }
        quote = urllib.parse.quote
        text = "&".join(f"{quote(name, safe='-_.~')}={quote(fields[name], safe='-_.~')}" for name in sorted(fields))
        path = quote(path, safe="/-_.~")
        request = "\n".join([method, path, text, f"host:{self.host}", "", "host", "UNSIGNED-PAYLOAD"])
        words = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()])
        signature = hmac.digest(self._signing_key(day), words.encode(), "sha256").hex()
        lines = [f"{method} {path}?{text}&X-Amz-Signature={signature} HTTP/1.1", f"Host: {self.host}", *headers]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Connection:
    """One keep-alive connection. A request that fails closes it; the next one dials again."""

    def __init__(self, target):
        self.target, self.socket = target, None
        self.buffer = bytearray(READ_BUFFER)
        self.view = memoryview(self.buffer)

    def request(self, head, body=None, sink=None):
        """Sends one request and reads its answer; gives its body's length. `sink(offset, bytes)` gets the body."""
        try:
            if self.socket is None:
                self.socket = socket.create_connection(self.target.address, TIMEOUT)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if body is None:
                self.socket.sendall(head)
            elif len(body) <= 64 * KIB:
                self.socket.sendall(b"".join((head, body)))
            else:
                self.socket.sendall(head)
                self.socket.sendall(body)
            return self._answer(sink)
        except Failed:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise Failed(type(error).__name__) from error

    def _answer(self, sink):
        filled = 0
        while True:
            end = self.buffer.find(b"\r\n\r\n", 0, filled)
            if end >= 0:
                head, start = bytes(self.view[:end]).decode("latin-1"), end + 4
                status = head.split(" ", 2)[1]
                if status != "100":
                    break
                self.view[: filled - start] = bytes(self.view[start:filled])
                filled -= start
                continue
            filled += self._read(self.view[filled:])
        lines = head.lower().split("\r\n")[1:]
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        ok = status.startswith("2")
        text = bytearray()

        def keep(_, piece):
            text.extend(piece)

        use = sink if ok else keep
        if "chunked" in fields.get("transfer-encoding", ""):
            length = self._chunked(bytes(self.view[start:filled]), use)
        elif status != "204":
            length = int(fields.get("content-length", "0"))
            self._plain(start, filled, length, use)
        else:
            length = 0
        if fields.get("connection", "").strip() == "close":
            self.close()
        if not ok:
            code = re.search(rb"<Code>(\w+)</Code>", text)
            raise Failed(f"{status} {code[1].decode() if code else ''}".strip())
        return length

    def _read(self, into):
        got = self.socket.recv_into(into) if len(into) else 0
        if got == 0:
            raise Failed("connection closed early")
        return got

    def _plain(self, start, filled, length, sink):
        at = filled - start
        if at > length:
            raise Failed("more bytes than announced")
        if at and sink:
            sink(0, self.buffer[start:filled])
        while at < length:
            got = self._read(self.view[: min(length - at, READ_BUFFER)])
            if sink:
                sink(at, self.buffer[:got])
            at += got

    def _chunked(self, begun, sink):
        at, rest = 0, bytearray(begun)
        while True:
            while b"\r\n" not in rest:
                rest += self.view[: self._read(self.view)]
            line, _, rest = rest.partition(b"\r\n")
            size = int(line.split(b";")[0], 16)
            while len(rest) < size + 2:
                rest += self.view[: self._read(self.view)]
            if size == 0:
                return at
            if sink:
                sink(at, rest[:size])
            at, rest = at + size, rest[size + 2 :]

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def content(number, size):
    start = number % SHIFTS_MAX * SHIFT
    return CONTENT[start : start + size]


def comparer(expected):
    """A sink that fails at the first byte that is not the expected one."""

    def sink(offset, piece):
        if piece != expected[offset : offset + len(piece)]:
            raise Failed("WRONG BYTES")

    return sink


HELD = threading.local()


def call(target, method, path, query=(), body=None):
    """One request outside of any measurement, on this thread's connection to the target; the answer's body."""
    connection, text = HELD.__dict__.setdefault(target.name, Connection(target)), bytearray()
    length = len(body) if body is not None else (0 if method == "PUT" else None)
    # A server may have closed a connection that idled; once more on a new one does no harm.
    for last in (connection.socket is None, True):
        text.clear()
        try:
            connection.request(target.head(method, path, query, length=length), body, lambda _, piece: text.extend(piece))
            break
        except Failed as failure:
            if last:
                raise Failed(f"{method} {path}: {failure}") from failure
    return bytes(text)


# --- one client ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    target: Target
    bucket: str
    name: str
    workload: Workload
    round: int
    seconds: float
    check: int  # compare the bytes of every check-th answer


def put_name(job, client, number):
    return f"/{job.bucket}/{job.name}/{job.round}/{client}-{number}"


def steps(job, client):
    """An endless supply of (head, body, expected bytes or None): what this client asks for, in its order."""
    load, target = job.workload, job.target
    if load.kind == "put":
        ready = []
        for number in range(load.keys):
            body = content(client + number, load.size)
            ready.append((target.head("PUT", put_name(job, client, number), length=load.size), body, None))
    elif load.kind == "list":
        query = {"list-type": "2", "prefix": "list/", "max-keys": str(LISTED)}
        ready = [(target.head("GET", f"/{job.bucket}", query), None, None)]
    else:
        size = load.object_size or load.size
        chance = random.Random(f"{job.round} {client}")
        ready = []
        for _ in range(max(load.keys, 256) if load.kind == "range" else load.keys):
            number = chance.randrange(load.keys)
            headers, expected = (), content(number, size)
            if load.kind == "range":
                start = chance.randrange(size - load.size)
                headers, expected = (f"Range: bytes={start}-{start + load.size - 1}",), expected[start : start + load.size]
            ready.append((target.head("GET", f"/{job.bucket}/src-{size}/{number}", headers=headers), None, expected))
    while True:
        yield from ready


def sink_of(load, expected, seen):
    """The check of one answer, as a sink and what to call at its end."""
    if load.kind == "list":
        text = bytearray()

        def end():
            seen["checked"] += 1
            if text.count(b"<Key>") != LISTED:
                raise Failed("WRONG LIST")

        return lambda _, piece: text.extend(piece), end
    if expected is None:
        return None, lambda: None
    seen["checked"] += 1
    return comparer(expected), lambda: None


def client_main(job, client, barrier, pipe):
    """A client process: prepares its requests, waits for the others, runs until the time is over, reports."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    supply, connection, load = steps(job, client), Connection(job.target), job.workload
    step = next(supply)  # signs everything
    latencies, bad, seen, payload, number = array.array("d"), {}, {"checked": 0}, 0, 0
    barrier.wait(START_MAX)
    used = resource.getrusage(resource.RUSAGE_SELF)
    begin = now = time.monotonic()
    while now - begin < job.seconds:
        head, body, expected = step
        checked = load.kind != "put" and number % job.check == 0
        sink, end = sink_of(load, expected, seen) if checked else (None, lambda: None)
        try:
            length = connection.request(head, body, sink)
            if expected is not None and length != len(expected):
                raise Failed("WRONG LENGTH")
            end()
            latencies.append(time.monotonic() - now)
            payload += load.size or length
        except Failed as failure:
            bad[str(failure)] = bad.get(str(failure), 0) + 1
            if len(bad) > 20 or bad[str(failure)] > 1000:
                break
        step, number, now = next(supply), number + 1, time.monotonic()
    after = resource.getrusage(resource.RUSAGE_SELF)
    connection.close()
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    pipe.send({"latencies": latencies.tobytes(), "bad": bad, "checked": seen["checked"], "bytes": payload, "end": now, "cpu": cpu})
    pipe.close()


# --- what a server costs ------------------------------------------------------------------------------


def processes(pids):
    """The given processes and all their descendants."""
    if not pids:
        return []
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError):
                with open(f"/proc/{entry}/stat") as stat:
                    parent = int(stat.read().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found, todo = [], list(pids)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(children.get(pid, []))
    return found


def cpu_by_process(target):
    used = {}
    for pid in processes(target.pids):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            used[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def cpu_between(before, after):
    """CPU seconds between two looks; a process that ended in between counts up to the first."""
    return sum(used - before.get(pid, 0.0) for pid, used in after.items())


def settle(target):
    """Waits until background work has died down, so that its CPU is charged to the workload that caused it."""
    end, last = time.monotonic() + SETTLE_MAX, cpu_by_process(target)
    while target.pids and time.monotonic() < end:
        time.sleep(0.5)
        now = cpu_by_process(target)
        if cpu_between(last, now) < SETTLED_BELOW:
            return
        last = now


class PeakMemory(threading.Thread):
    """Watches the proportional set size of a server's processes: shared pages count once."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target, self.peak, self.over = target, None, threading.Event()

    def run(self):
        while self.target.pids and not self.over.is_set():
            total = 0
            for pid in processes(self.target.pids):
                with contextlib.suppress(OSError, StopIteration):
                    with open(f"/proc/{pid}/smaps_rollup") as rollup:
                        total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
            self.peak = max(self.peak or 0.0, total / KIB)
            self.over.wait(0.5)


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3 if ordered else None


def measure(job):
    """One workload on one target in one round."""
    forks = multiprocessing.get_context("fork")
    barrier = forks.Barrier(job.workload.clients + 1)
    pipes, clients = [], []
    for client in range(job.workload.clients):
        mine, theirs = forks.Pipe(duplex=False)
        process = forks.Process(target=client_main, args=(job, client, barrier, theirs), daemon=True)
        process.start()
        theirs.close()
        pipes.append(mine)
        clients.append(process)
    memory = PeakMemory(job.target)
    memory.start()
    before = cpu_by_process(job.target)
    try:
        barrier.wait(START_MAX)
        begin = time.monotonic()
        reports = [pipe.recv() for pipe in pipes]
    except (threading.BrokenBarrierError, EOFError) as error:
        raise Failed("a client process died") from error
    for process in clients:
        process.join()
    settle(job.target)
    cpu = cpu_between(before, cpu_by_process(job.target)) if job.target.pids else None
    memory.over.set()
    memory.join()

    latencies = array.array("d")
    bad = {}
    for report in reports:
        latencies.frombytes(report["latencies"])
        for what, count in report["bad"].items():
            bad[what] = bad.get(what, 0) + count
    wall = max(report["end"] for report in reports) - begin
    requests, payload = len(latencies), sum(report["bytes"] for report in reports)
    checked = sum(report["checked"] for report in reports)
    if job.workload.kind == "put" and requests:
        checked += reread(job, bad)
    ordered = sorted(latencies)
    each = lambda seconds: seconds * 1e3 / requests if seconds is not None and requests else None
    return {
        "requests": requests,
        "bad": bad,
        "checked": checked,
        "seconds": wall,
        "per_s": requests / wall,
        "mib_s": payload / MIB / wall,
        "p50_ms": percentile(ordered, 0.50),
        "p99_ms": percentile(ordered, 0.99),
        "cpu_s": cpu,
        "cpu_ms_per_request": each(cpu),
        "cpu_s_per_gib": cpu * GIB / payload if cpu is not None and payload and job.workload.size else None,
        "pss_peak_mib": memory.peak,
        "client_cpu_ms_per_request": each(sum(report["cpu"] for report in reports)),
    }


def reread(job, bad):
    """Reads back the first object that each client wrote; how many were compared."""
    load, checked = job.workload, 0
    connection = Connection(job.target)
    for client in range(load.clients):
        try:
            length = connection.request(
                job.target.head("GET", put_name(job, client, 0)), None, comparer(content(client, load.size))
            )
            if length != load.size:
                raise Failed("WRONG LENGTH")
            checked += 1
        except Failed as failure:
            bad[f"read back: {failure}"] = bad.get(f"read back: {failure}", 0) + 1
    connection.close()
    return checked


# --- a run --------------------------------------------------------------------------------------------


def in_parallel(work, items):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, items))


def load_fixture(target, bucket, names):
    """Stores what the reading workloads read."""
    wanted = set()
    for name in names:
        load = WORKLOADS[name]
        if load.kind in ("get", "range"):
            size = load.object_size or load.size
            wanted |= {(f"/{bucket}/src-{size}/{number}", number, size) for number in range(load.keys)}
        elif load.kind == "list":
            wanted |= {(f"/{bucket}/list/{number:06d}", number, 1) for number in range(LISTED)}
    in_parallel(lambda item: call(target, "PUT", item[0], body=content(item[1], item[2])), sorted(wanted))


def remove(target, bucket):
    """Deletes everything in the bucket, then the bucket."""
    while True:
        text = call(target, "GET", f"/{bucket}", {"list-type": "2", "max-keys": "1000"}).decode()
        keys = re.findall(r"<Key>([^<]+)</Key>", text)
        if not keys:
            break
        in_parallel(lambda key: call(target, "DELETE", f"/{bucket}/{key}"), keys)
    call(target, "DELETE", f"/{bucket}")


def disk_ceiling(folder):
    """What the disk itself gives: 4 KiB writes with fdatasync each, and one long write with fdatasync at its end."""
    path = os.path.join(folder, f".s3load-{os.getpid()}")
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    try:
        count, begin = 0, time.monotonic()
        while time.monotonic() - begin < 3:
            os.write(fd, content(count, 4 * KIB))
            os.fdatasync(fd)
            count += 1
        synced = count / (time.monotonic() - begin)
        begin = time.monotonic()
        for number in range(1024):
            os.write(fd, content(number, MIB))
        os.fdatasync(fd)
        return {"synced_4KiB_writes_per_s": synced, "sequential_MiB_per_s": 1024 / (time.monotonic() - begin)}
    finally:
        os.close(fd)
        os.unlink(path)


def machine():
    model = ""
    with contextlib.suppress(OSError, StopIteration):
        with open("/proc/cpuinfo") as info:
            model = next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def run_phase(targets, bucket, names, args, results, label=""):
    for turn in range(args.rounds):
        first = turn % len(targets)
        for name in names:
            for target in targets[first:] + targets[:first]:
                row = name + label
                job = Job(target, bucket, name, WORKLOADS[name], turn, args.seconds, args.check)
                result = measure(job)
                results.setdefault(row, {}).setdefault(target.name, []).append(result)
                note = f"{result['per_s']:.1f}/s, {result['mib_s']:.1f} MiB/s"
                say(f"round {turn + 1}/{args.rounds}  {row:24} {target.name:14} {note}{'  BAD ' + str(result['bad']) if result['bad'] else ''}")


def summarize(targets, results):
    """Medians over the rounds, and the median of the rounds' ratios to the first target."""
    rows = []
    for workload, by_target in results.items():
        base = by_target.get(targets[0].name, [])
        for name, rounds in by_target.items():
            def median(field):
                values = [r[field] for r in rounds if r[field] is not None]
                return statistics.median(values) if values else None

            ratios = [mine["per_s"] / first["per_s"] for mine, first in zip(rounds, base) if first["per_s"]]
            fields = [field for field in rounds[0] if field not in ("bad", "requests", "checked", "seconds", "pss_peak_mib")]
            peaks = [r["pss_peak_mib"] for r in rounds if r["pss_peak_mib"] is not None]
            rows.append({
                "workload": workload,
                "target": name,
                **{field: median(field) for field in fields},
                "pss_peak_mib": max(peaks) if peaks else None,
                "ratio": statistics.median(ratios) if ratios else None,
                "requests": sum(r["requests"] for r in rounds),
                "checked": sum(r["checked"] for r in rounds),
                "bad": sum(sum(r["bad"].values()) for r in rounds),
            })
    return rows


COLUMNS = [
    ("workload", "workload", "{}"),
    ("target", "target", "{}"),
    ("requests/s", "per_s", "{:.1f}"),
    ("MiB/s", "mib_s", "{:.1f}"),
    ("p50 ms", "p50_ms", "{:.2f}"),
    ("p99 ms", "p99_ms", "{:.2f}"),
    ("CPU s/GiB", "cpu_s_per_gib", "{:.2f}"),
    ("CPU ms/req", "cpu_ms_per_request", "{:.3f}"),
    ("peak MiB", "pss_peak_mib", "{:.0f}"),
    ("client ms/req", "client_cpu_ms_per_request", "{:.3f}"),
    ("ratio", "ratio", "x{:.2f}"),
    ("checked", "checked", "{}"),
    ("bad", "bad", "{}"),
]


def table(rows):
    """A Markdown table whose columns also line up as plain text."""
    cells = [[title for title, _, _ in COLUMNS]]
    cells += [["–" if row[field] is None else form.format(row[field]) for _, field, form in COLUMNS] for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(len(COLUMNS))]
    text = lambda line: "| " + " | ".join(c.ljust(w) if at < 2 else c.rjust(w) for at, (c, w) in enumerate(zip(line, widths))) + " |"
    rule = "|" + "|".join("-" * (w + 2) if at < 2 else "-" * (w + 1) + ":" for at, w in enumerate(widths)) + "|"
    return "\n".join([text(cells[0]), rule] + [text(line) for line in cells[1:]])


def say(words):
    print(words, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", default=[], metavar="SPEC", help="a server; the first is what ratios refer to")
    parser.add_argument("--rounds", type=int, default=3, help="how often every workload runs on every target [3]")
    parser.add_argument("--seconds", type=float, default=6, help="of load, each time [6]")
    parser.add_argument("--only", metavar="NAMES", help="workloads, separated by commas; also prefixes such as put")
    parser.add_argument("--check", type=int, default=16, metavar="N", help="compare the bytes of every N-th answer; 1: all [16]")
    parser.add_argument("--degrade", action="append", default=[], metavar="NAME=COMMAND",
                        help="after the rounds run COMMAND, which takes part of that target away, then measure reads again")
    parser.add_argument("--disk", metavar="DIR", help="also measure what the disk under DIR gives without any server")
    parser.add_argument("--json", metavar="FILE", help="write every round's figures there")
    parser.add_argument("--bucket", help="the bucket to make and remove [a new name]")
    parser.add_argument("--keep", action="store_true", help="leave bucket and objects there")
    parser.add_argument("--list", action="store_true", help="list the workloads and stop")
    args = parser.parse_args()
    if args.list:
        for name, load in WORKLOADS.items():
            print(f"{name:14} {load.clients:2} clients")
        sys.exit(0)
    if not args.target:
        parser.error("give at least one --target")
    if min(args.rounds, args.check) < 1 or args.seconds <= 0:
        parser.error("--rounds and --check are at least 1, --seconds is more than 0")
    return parser, args


def selected(parser, only):
    if not only:
        return list(WORKLOADS)
    asked = only.split(",")
    for word in asked:
        if not any(name.startswith(word) for name in WORKLOADS):
            parser.error(f"--only {word}: no such workload; see --list")
    return [name for name in WORKLOADS if any(name.startswith(word) for word in asked)]


def main():
    global CONTENT
    parser, args = arguments()
    targets = [Target(spec) for spec in args.target]
    by_name = {target.name: target for target in targets}
    if len(by_name) < len(targets):
        parser.error("every target needs a name of its own")
    degrade = dict(word.partition("=")[::2] for word in args.degrade)
    if not all(name in by_name and command for name, command in degrade.items()):
        parser.error("--degrade is NAME=COMMAND, and NAME is the name of a target")
    names = selected(parser, args.only)
    after = [name for name in DEGRADED if name in names] if degrade else []
    largest = max(WORKLOADS[name].object_size or WORKLOADS[name].size for name in names)
    CONTENT = memoryview(os.urandom(max(largest, MIB) + SHIFTS_MAX * SHIFT))
    bucket = args.bucket or f"s3load-{random.SystemRandom().randrange(16**8):08x}"
    report = {"machine": machine(), "rounds": args.rounds, "seconds": args.seconds, "targets": list(by_name)}
    if args.disk:
        report["disk"] = disk_ceiling(args.disk)
    results, made = {}, []
    try:
        for target in targets:
            call(target, "PUT", f"/{bucket}")
            made.append(target)
            say(f"{target.name}: storing what will be read")
            load_fixture(target, bucket, names)
            settle(target)
        run_phase(targets, bucket, names, args, results)
        if after:
            for name, command in degrade.items():
                say(f"{name}: {command}")
                subprocess.run(shlex.split(command), check=True)
            time.sleep(2)
            run_phase([by_name[name] for name in by_name if name in degrade], bucket, after, args, results, " (degraded)")
    except Failed as failure:
        sys.exit(f"{targets[len(made) - 1].name if made else targets[0].name}: {failure}")
    except KeyboardInterrupt:
        say("interrupted")
    finally:
        for target in [] if args.keep else made:
            try:
                remove(target, bucket)
            except Failed as failure:
                say(f"{target.name}: bucket {bucket} could not be removed: {failure}")
    report["summary"] = summarize(targets, results)
    report["results"] = results
    if args.json:
        with open(args.json, "w") as out:
            json.dump(report, out, indent=1)
    if "disk" in report:
        disk = report["disk"]
        print(f"disk: {disk['synced_4KiB_writes_per_s']:.0f} synced 4 KiB writes/s, {disk['sequential_MiB_per_s']:.0f} MiB/s sequential\n")
    print(table(report["summary"]))
    sys.exit(1 if any(row["bad"] for row in report["summary"]) or not results else 0)


if __name__ == "__main__":
    main()

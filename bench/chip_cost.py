#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the component costs on a chip: code, constants, static RAM, deepest stack.

Compiles src/ for a RISC-V chip with Debian's gcc-riscv64-unknown-elf and picolibc. The simulated chip's headers stand in
for ESP-IDF's, so what only ESP-IDF's own headers declare (src/port/sr_in_place.c, most of it) is not in the figures.

Sizes are those of the sections that the linker keeps (--gc-sections) for the public functions of one header, or of both.

The stack is the longest chain in the call graph that the compiler writes (-fcallgraph-info=su), in which no function
occurs twice. The image API's is that of an app without bundles. A call through a pointer can reach the functions that CALLBACKS lists for the member that is called; where
something is missing there, every function whose address is taken anywhere and that is not listed. Not counted is what
ESP-IDF's and the C library's functions take below the component's, and what the caller's own callbacks take.

usage: chip_cost.py [--json | --before FILE] WORK_FOLDER
  --json         print the figures for programs
  --before FILE  print what is different from figures that --json has printed, of another state of the sources
"""
import argparse
import collections
import concurrent.futures
import functools
import glob
import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = "riscv64-unknown-elf-"
TARGET = ["-march=rv32imc", "-mabi=ilp32", "--specs=picolibc.specs"]
OPTIONS = ["-std=gnu11", "-Os", "-ffunction-sections", "-fdata-sections", "-fstack-usage", "-fcallgraph-info=su", "-MD"]
KINDS = ("text", "rodata", "data", "bss")
HOST_LIBRARIES = ("psa", "mbedtls", "zlib.h", "zconf.h")
BUNDLE_HEADER = "self_reflasher_bundle.h"
USER = ()  # the caller's own functions

# The methods of relocation, src/relocate.
METHODS = ("sr_relocation_slot", "sr_relocation_stay", "sr_relocation_table", "sr_relocation_in_place")

# Whom a call through a struct's member can reach, by the member's name.
CALLBACKS = {
    "read": ("memory_read", "target_read", "flash_window_read", "overlay_read", "window_read"),
    "fetch": ("sr_migration_fetch", "fetch_from_stage", "fetch"),
    "feed": ("sr_watchdog_feed",),
    "passes": ("sr_preflight.c:check_bootloader", "sr_preflight_check_flash_size", "sr_preflight_check_flash_mode",
               "sr_preflight_check_revision", "sr_preflight_check_version", "sr_preflight_check_table", "sr_preflight_check_app"),
    "wanted": ("sr_map_is_body", "sr_map_is_moved_body", "is_data"),
    "allowed": ("sr_migration_leaves_alone", "gets_no_content", "sr_transfer_leaves_alone"),
    "brings": ("sr_migration_plan.c:brings",),
    "classify": ("sr_migration_relocation.c:classify_room", "self_reflasher.c:classify_room"),
    "visit": ("find_new_app", "look_at_app", "look_at_partition", "mark_data", "mark_partition", "open_slot", "own_partition",
              "stay_in_partition", "take_otadata"),
    "prove": tuple("sr_verification.c:" + name for name in (
        "check_place", "load_list", "check_app", "load_manifest", "check_device", "find_mark", "check_list",
        "check_security", "confirm_data", "spares_what_runs", "check_read_only", "check_moves", "check_rest",
        "check_mark", "check_result")),
    "propose": tuple(f"{method}.c:propose" for method in METHODS),
    "why_not": ("sr_relocation_slot.c:why_not", "sr_relocation_table.c:why_not", "sr_relocation_in_place.c:why_not"),
    "execute": tuple(f"{method}.c:execute" for method in METHODS),
    "object": ("sr_migration_relocation.c:object",),
    "owner": ("sr_migration_relocation.c:owner",),
    "end": ("reach_end",),
    "write": ("sr_migration_relocation.c:write_target", "self_reflasher.c:overwrite"),
    "on_commit": ("sr_migration_relocation.c:on_commit",),
    "begin": ("sink_begin",),
    "data": ("sink_data",),
    "progress": ("copy_progress",),
    "yield": ("sr_yield",),
    "on_retry": ("on_retry",),
    "progress_cb": USER,
    "event_cb": USER,
    "may_commit": ("sr_migration_relocation.c:may_commit", "self_reflasher.c:may_commit"),  # or the caller's own
}

EDGE = re.compile(r'edge: \{ sourcename: "([^"]*)" targetname: "([^"]*)"(?: label: "([^"]*)")?')
NODE = re.compile(r'node: \{ title: "([^"]*)" label: "[^"]*\\n(\d+) bytes \(([\w, ]+)\)')


def run(*command):
    return subprocess.run([*map(str, command)], check=True, stdout=subprocess.PIPE, text=True).stdout


def sources():
    text = (ROOT / "cmake" / "sources.cmake").read_text()
    found = [ROOT / name for name in re.findall(r"src/[\w/]+\.c", text)]
    assert len({source.stem for source in found}) == len(found), "a module is known by the name of its file"
    return found


def make_includes(folder):
    """The few libraries of the host that are on the chip, too, without the rest of the host's headers."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in HOST_LIBRARIES:
        link = folder / name
        found = [path for path in (f"/usr/include/{name}", *glob.glob(f"/usr/include/*/{name}")) if pathlib.Path(path).exists()]
        if found and not link.exists():
            link.symlink_to(found[0])
    return folder


def compile_all(folder, options=(), others=None):
    """@param options Folders with an sdkconfig_app.h, which switches options off.
    @param others Where all was compiled with other options: what does not know them is taken from there."""
    include = make_includes(folder / "include")
    paths = ["-I", ROOT / "include", "-I", ROOT / "src"]
    for path in options:
        paths += ["-I", path]
    for path in (ROOT / "sim/idf/include", ROOT / "bench/include", include):
        paths += ["-isystem", path]

    def compile_one(source):
        output = folder / (source.stem + ".o")
        if others is not None and "/sdkconfig.h" not in (others / (source.stem + ".d")).read_text():
            return others / output.name
        subprocess.run([TOOLS + "gcc", *TARGET, *OPTIONS, *map(str, paths), "-c", source.relative_to(ROOT), "-o", str(output)],
                       cwd=ROOT, check=True)
        return output

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(compile_one, sources()))


def public_functions(objects):
    """Name -> header. What a header declares and the objects define."""
    defined = set(re.findall(r"(?m) T (\w+)$", run(TOOLS + "nm", *objects)))
    found = {}
    for header in sorted((ROOT / "include").glob("*.h")):
        for name in re.findall(r"(?m)^[\w ]+[ *](esp_self_reflasher_\w+)\(", header.read_text()):
            if name in defined:
                found.setdefault(name, header.name)
    return found


def link(objects, roots, folder):
    """What the linker keeps for these functions: module -> sizes, and the names of all functions."""
    linker_map = folder / "linked.map"
    needed = [f"--undefined={name}" for name in roots]
    run(TOOLS + "ld", "-m", "elf32lriscv", "--relocatable", "--gc-sections", *needed, f"-Map={linker_map}", "-o",
        folder / "linked.o", *objects)
    text = linker_map.read_text().split("Linker script and memory map", 1)[1]
    sizes, functions = collections.defaultdict(lambda: dict.fromkeys(KINDS, 0)), set()
    for section, size, path in re.findall(r"(?m)^ \.(\S+)\s+0x[0-9a-f]+\s+(0x[0-9a-f]+) (\S+\.o)$", text):
        kind = {"srodata": "rodata", "sdata": "data", "sbss": "bss"}.get(section.split(".")[0], section.split(".")[0])
        if kind in KINDS:
            sizes[pathlib.Path(path).stem][kind] += int(size, 16)
        if kind == "text":
            functions.add(plain(section.split(".", 1)[-1]))
    return {module: size for module, size in sizes.items() if any(size.values())}, functions


def addresses_taken(objects):
    """Functions that are referred to other than by a call."""
    taken = set()
    for path in objects:
        functions = set(re.findall(r"(?m) [tT] (\w+)$", run(TOOLS + "nm", path)))
        relocations = run(TOOLS + "objdump", "--reloc", path)
        taken |= functions & set(re.findall(r"R_RISCV_(?:HI20|PCREL_HI20|32)\s+(\w+)", relocations))
    return taken


def member_called(place):
    """The name in front of the parenthesis, at file:line:column."""
    path, line, column = place.split(":")
    text = (ROOT / path).read_text().splitlines()[int(line) - 1]
    for start in (int(column) - 1, 0):
        match = re.search(r"(?:->|\.|\b)(\w+)\(", text[start:])
        if match:
            return match[1]
    return "?"


def plain(name):
    """Without the file in front of a static function, and without the compiler's mark for a variant of it."""
    return re.sub(r"\.(constprop|isra|part|cold).*", "", name.rsplit(":", 1)[-1])


def without_folder(name):
    """The compiler puts the path of its file in front of a static function."""
    return name.rsplit("/", 1)[-1]


class CallGraph:
    def __init__(self, objects):
        self.frames, self.calls, self.dynamic = {}, collections.defaultdict(set), set()
        self.module_of = {}
        self.unlisted = set()
        indirect = []
        for path in objects:
            text = path.with_suffix(".ci").read_text()
            for title, size, kind in NODE.findall(text):
                name = without_folder(title)
                self.frames[name] = int(size)
                self.module_of[name] = path.stem
                if kind != "static":
                    self.dynamic.add(name)
            for caller, callee, place in EDGE.findall(text):
                caller, callee = without_folder(caller), without_folder(callee)
                if callee == "__indirect_call":
                    indirect.append((caller, place))
                else:
                    self.calls[caller].add(callee)
        self.resolve(indirect, addresses_taken(objects))
        self.cyclic = {name for name in self.frames if name in self.reached(self.calls[name])}

    def resolve(self, indirect, taken):
        by_name = collections.defaultdict(list)
        for name in self.frames:
            by_name[name].append(name)
            if ":" in name:
                by_name[plain(name)].append(name)
        listed = {plain(name) for targets in CALLBACKS.values() for name in targets}
        for caller, place in indirect:
            member = member_called(place)
            if member not in CALLBACKS:
                self.unlisted.add(f"{place} ({member})")
            for target in CALLBACKS.get(member, taken - listed):
                self.calls[caller].update(by_name[target])

    def reached(self, start):
        seen, todo = set(), list(start)
        while todo:
            name = todo.pop()
            if name in self.frames and name not in seen:
                seen.add(name)
                todo += self.calls[name]
        return seen

    def largest_frames(self, linked):
        """Module -> its largest frame among the functions that are linked"""
        largest = {}
        for name, size in self.frames.items():
            module = self.module_of[name]
            if plain(name) in linked and size > largest.get(module, {"bytes": -1})["bytes"]:
                largest[module] = {"function": plain(name), "bytes": size}
        return largest

    def deepest(self, root, linked):
        """(bytes, chain of names) among the functions that are linked"""

        @functools.lru_cache(maxsize=None)
        def below(name, path):
            path = path | {name} if name in self.cyclic else path
            best = (0, ())
            for callee in sorted(self.calls[name]):
                if callee in self.frames and callee not in path and plain(callee) in linked:
                    best = max(best, below(callee, path))
            return self.frames[name] + best[0], (name, *best[1])

        return below(root, frozenset())


def measure(folder):
    folder.mkdir(parents=True, exist_ok=True)
    objects = compile_all(folder)
    public = public_functions(objects)
    images, image_functions = link(objects, [name for name in public if public[name] != BUNDLE_HEADER], folder)
    bundles, all_functions = link(objects, list(public), folder)
    least = compile_all(folder / "least", [ROOT / "test/image/without_options"], folder)
    graph = CallGraph(objects)
    stack = {}
    for name, header in public.items():
        depth, chain = graph.deepest(name, all_functions if header == BUNDLE_HEADER else image_functions)
        stack[name] = {"header": header, "bytes": depth,
                       "chain": [{"function": plain(part), "bytes": graph.frames[part]} for part in chain]}
    return {
        "images": images,
        "without_options": {
            "images": total(link(least, [name for name in public if public[name] != BUNDLE_HEADER], folder / "least")[0]),
            "with_bundles": total(link(least, list(public), folder / "least")[0])},
        "with_bundles": bundles,
        "stack": stack,
        "module_frames": graph.largest_frames(all_functions),
        "dynamic_frames": sorted(graph.dynamic),
        "unlisted_callbacks": sorted(graph.unlisted),
    }


def total(sizes):
    return {kind: sum(size[kind] for size in sizes.values()) for kind in KINDS}


def print_sizes(cost):
    images, bundles = cost["images"], cost["with_bundles"]
    heads = "".join(f"{kind:>8}" for kind in KINDS)
    print("Code and static RAM on a chip, bytes (RISC-V, -march=rv32imc -Os)")
    print(f"  {'':26}{'image API only':>32}    {'with bundles':>32}   {'largest':>7}")
    print(f"  {'module':26}{heads}    {heads}   {'frame':>7}")
    for module in sorted(bundles):
        left = images.get(module, dict.fromkeys(KINDS, 0))
        frame = cost["module_frames"].get(module, {"bytes": 0})["bytes"]
        print(f"  {module:26}" + "".join(f"{left[kind]:8}" for kind in KINDS) + "    " +
              "".join(f"{bundles[module][kind]:8}" for kind in KINDS) + f"   {frame:7}")
    left, right = total(images), total(bundles)
    print(f"  {'total':26}" + "".join(f"{left[kind]:8}" for kind in KINDS) + "    " +
          "".join(f"{right[kind]:8}" for kind in KINDS))
    left, right = cost["without_options"]["images"], cost["without_options"]["with_bundles"]
    print(f"  {'with all options off':26}" + "".join(f"{left[kind]:8}" for kind in KINDS) + "    " +
          "".join(f"{right[kind]:8}" for kind in KINDS))


def print_stack(cost):
    print("\nDeepest stack, bytes (own frames; ESP-IDF's below them not counted)")
    for name, stack in sorted(cost["stack"].items(), key=lambda item: -item[1]["bytes"]):
        print(f"  {name:44}{stack['bytes']:6}")
    print()
    for header in ("self_reflasher.h", BUNDLE_HEADER):
        inside = {name: stack for name, stack in cost["stack"].items() if stack["header"] == header}
        if inside:
            name = max(inside, key=lambda name: inside[name]["bytes"])
            print(f"Deepest chain of {header}")
            for part in inside[name]["chain"]:
                print(f"  {part['function']:44}{part['bytes']:6}")
    for place in cost["unlisted_callbacks"]:
        print(f"  not listed in CALLBACKS: {place}")


def deepest_of(cost, header):
    """The deepest stack of a header's functions."""
    return max((stack["bytes"] for stack in cost["stack"].values() if stack["header"] == header), default=0)


def change(before, after):
    return f"{after:7} {after - before:+6}" if after != before else f"{after:7}      ="


def print_sums(before, after):
    print(f"  {'':16}" + "".join(f"{kind:>14}" for kind in (*KINDS, "stack")))
    for title, key, header in (("image API only", "images", "self_reflasher.h"),
                               ("with bundles", "with_bundles", BUNDLE_HEADER)):
        pairs = [(total(before[key])[kind], total(after[key])[kind]) for kind in KINDS]
        pairs.append((deepest_of(before, header), deepest_of(after, header)))
        print(f"  {title:16}" + "".join(change(*pair) for pair in pairs))


def print_changed(title, before, after):
    """Two tables by name, each with a tuple of figures: the rows that are not the same."""
    rows = [(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]
    rows = [row for row in rows if row[1] != row[2]]
    if rows:
        print(f"\n{title}")
    for name, old, new in rows:
        none = (0,) * len(old or new)
        mark = "  new" if old is None else "  gone" if new is None else ""
        print(f"  {name:44}" + "".join(change(*pair) for pair in zip(old or none, new or none)) + mark)


def print_difference(before, after):
    """What a change of the sources costs: sums always, and of the rest what changed."""
    print("Code, static RAM and deepest stack on a chip, bytes, and what is different")
    print_sums(before, after)
    by_module = [{module: tuple(sizes[kind] for kind in KINDS) for module, sizes in cost["with_bundles"].items()}
                 for cost in (before, after)]
    print_changed(f"Modules, with bundles: {', '.join(KINDS)}", *by_module)
    print_changed("Deepest stack", *({name: (stack["bytes"],) for name, stack in cost["stack"].items()}
                                     for cost in (before, after)))
    if "module_frames" in before:  # Older states of this script do not tell them.
        print_changed("Largest frame of a module", *({module: (frame["bytes"],) for module, frame in
                                                      cost["module_frames"].items()} for cost in (before, after)))


def main():
    parser = argparse.ArgumentParser(usage=__doc__.rsplit("usage: ", 1)[1])
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true")
    how.add_argument("--before", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    cost = measure(arguments.folder.resolve())
    if arguments.json:
        print(json.dumps(cost, indent=1))
    elif arguments.before:
        print_difference(json.loads(arguments.before.read_text()), cost)
    else:
        print_sizes(cost)
        print_stack(cost)


if __name__ == "__main__":
    main()

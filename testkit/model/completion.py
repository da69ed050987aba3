"""Checks how a merge says that it is incomplete or complete, in the crash model of the merge protocol.

Usage: completion.py FOLDER, where FOLDER holds the model (`model.py`, `cases.py`).

Each order of the steps is run with a crash at every point, and again from every image that a crash leaves. Checked in each
image: every leaf opens and reads the same; a target whose GUID says "complete" reads as the merged disk, and one that has its
old GUID as before; a lowest layer that can be opened by itself reads as before. The order of the protocol must hold; each
other order must fail, and its first violation is printed.
"""
import random
import sys

sys.path.insert(0, sys.argv[1])
from cases import case_simple  # noqa: E402
from model import Corrupt, Sess, dwg, key, locator, meta, ng, own, rd, read, snap, states, view  # noqa: E402

INCOMPLETE, COMPLETE, SEVERAL = {}, {}, {}


def names(levels):
    """A new GUID for "incomplete", and the one for "complete" that belongs to it."""
    incomplete, complete = ng(), ng()
    INCOMPLETE[incomplete], COMPLETE[incomplete], SEVERAL[incomplete] = True, complete, levels > 1
    return incomplete, complete


def lowest(world, name, linkage, linkage2):
    session = Sess(world, name, OPTIONS)
    yield from session.open()
    layer = view(world[name].cur())[0]
    yield from session.commit({'m': locator(layer, l1=linkage, l2=linkage2)})
    yield from session.close()


OPTIONS = dict(loginit='entry first', tail='lazy')


def fill(session, world, target, merged):
    """Copies what the merged layers hold, one transaction a block, into places 40 and up."""
    file, layers = world[target], [(name,) + view(world[name].cur())[:2] for name in merged]
    place = 40
    for block in range(2):
        newest = {}
        for sector in (2 * block, 2 * block + 1):
            held = [own(layer, sector) for _, layer, _ in layers]
            newest[sector] = next((value for value in held if value is not None), None)
        if all(value is None for value in newest.values()):
            continue
        state, where = file.cur().get(('s', 5, block), ('N', 0))
        is_new = state != 'F'
        if is_new:
            while any(('s', place, i) in file.cur() for i in (0, 1)):
                place += 1
            where = place
        for sector, value in newest.items():
            if value is not None or is_new:
                file.w(('s', where, sector % 2), value or 0)
                yield
        if is_new:
            yield from session.commit({('s', 5, block): ('F', where)})


def merge(world, target, merged, order):
    """The steps of the protocol; `order` says which of them come in another order."""
    present = view(world[target].cur())[1]
    incomplete, complete = names(len(merged))
    bottom = merged[-1]
    if order == 'complete before the content':
        yield from lowest(world, bottom, complete, present)
        session = Sess(world, target, OPTIONS)
        yield from session.open(dwg=complete)  # the final GUID from the start: nothing says "incomplete"
        yield from fill(session, world, target, merged)
        yield from lowest(world, bottom, incomplete, complete)
        yield from session.close()
        return
    yield from lowest(world, bottom, incomplete, present)
    session = Sess(world, target, OPTIONS)
    yield from session.open(dwg=incomplete)
    yield from fill(session, world, target, merged)
    if order == 'complete before the sync':
        yield from lowest(world, bottom, incomplete, complete)
        yield from session.hdr(dwg=complete, lg=0)
        world[target].sync()
        yield
        return
    world[target].sync()
    yield
    if order == 'target before the layer':
        yield from session.hdr(dwg=complete, lg=0)
        yield from lowest(world, bottom, incomplete, complete)
        return
    yield from lowest(world, bottom, incomplete, complete)
    yield from session.hdr(dwg=complete, lg=0)


def alone(image, name):
    """What a disk reads as by itself; None where it is not read so."""
    linkage = meta(view(image[name])[0])[2]
    return None if SEVERAL.get(linkage) else read(image, name)


def explore(order, levels, depth=2, limit=48, most=30000):
    world, target, merged, _ = case_simple(0)
    if levels == 1:
        # The middle layer is part of the target's own chain then: only the leaf is merged.
        target, merged = 'K', ['L']
    start = {name: file.d for name, file in world.items()}
    leaf, before, after = merged[0], read(start, target), read(start, merged[0])
    by_itself = {name: read(start, name) for name in merged}
    seen, violations, count = set(), [], [0]

    def check(image, where):
        count[0] += 1
        try:
            if read(image, leaf) != after:
                violations.append((where, 'the merged disk reads otherwise'))
            guid = view(image[target])[1]
            if guid not in INCOMPLETE and read(image, target) != (after if guid in COMPLETE.values() else before):
                violations.append((where, 'the target does not say that it lacks content'))
            for name in merged:
                found = alone(image, name)
                if found is not None and found != by_itself[name]:
                    violations.append((where, name + ' is readable by itself, and reads otherwise'))
        except Corrupt as error:
            violations.append((where, 'does not open: ' + str(error)))

    def run(world, level, rng):
        front = []
        for point, _ in enumerate(merge(world, target, merged, order)):
            for image in states(world, limit, rng):
                if key(image) in seen or len(seen) > most:
                    continue
                seen.add(key(image))
                check(image, f'run {level}, point {point}')
                if violations:
                    return
                front.append(image)
        end = {name: file.cur() for name, file in world.items()}
        if read(end, target) != after or view(end[target])[1] in INCOMPLETE:
            violations.append((f'run {level}, end', 'the target is not complete'))
        if level < depth:
            for image in front:
                run({name: type(world[name])(cells) for name, cells in image.items()}, level + 1, rng)
                if violations:
                    return

    run(snap(world), 1, random.Random(1))
    return violations, count[0]


ORDERS = ['of the protocol', 'complete before the content', 'complete before the sync', 'target before the layer']

if __name__ == '__main__':
    failed = False
    for levels in (1, 2):
        for order in ORDERS:
            violations, images = explore(order, levels)
            is_right = bool(violations) != (order == ORDERS[0])
            failed |= not is_right
            print(f'{levels} level(s), {order:28} {images:6} images ', violations[0] if violations else 'OK',
                  '' if is_right else '  <- UNEXPECTED')
    sys.exit(failed)

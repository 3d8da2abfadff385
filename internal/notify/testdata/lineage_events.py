"""Holds events, one JSON text a line on stdin, to the classes of OpenLineage's own client, which its makers generate from the
specification. Prints what is wrong, a line each: a field that no class has, one that is missing, a value of another type, a facet
under another's name or of a version that the client does not have."""
import importlib, json, pkgutil, re, sys, types, typing
from enum import Enum

import attr
import openlineage.client.generated as generated

modules = [importlib.import_module("openlineage.client.generated." + m.name) for m in pkgutil.iter_modules(generated.__path__)]
base = next(m for m in modules if m.__name__.endswith(".base"))
classes = {}  # by the address of their schema
for m in modules:
    for c in vars(m).values():
        if isinstance(c, type) and attr.has(c) and c.__module__ == m.__name__:
            attr.resolve_types(c)
            if hasattr(c, "_get_schema"):
                classes[c._get_schema()] = c
wrong = []


def fits(value, of, where):
    """Notes what keeps value from being of the type."""
    origin, args = typing.get_origin(of), typing.get_args(of)
    if of is typing.Any:
        return
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return
        before, least = len(wrong), None
        for a in (a for a in args if a is not type(None)):
            fits(value, a, where)
            found, wrong[before:] = wrong[before:], []
            least = found if least is None or len(found) < len(least) else least
        wrong.extend(least)
    elif origin is list:
        if not isinstance(value, list):
            wrong.append(f"{where} is no list: {value!r}")
            return
        for i, v in enumerate(value):
            fits(v, args[0], f"{where}[{i}]")
    elif origin is dict or of is dict:
        if not isinstance(value, dict):
            wrong.append(f"{where} is no object: {value!r}")
            return
        for k, v in value.items():
            if isinstance(args[1:] and args[1], type) and issubclass(args[1], base.BaseFacet):
                facet(v, args[1], k, where)
            else:
                fits(v, args[1] if args else typing.Any, f"{where}.{k}")
    elif isinstance(of, type) and issubclass(of, Enum):
        if value not in [e.value for e in of]:
            wrong.append(f"{where} is not one of {of.__name__}: {value!r}")
    elif attr.has(of):
        build(value, of, where)
    elif isinstance(value, bool) and of is not bool or not isinstance(value, (int, float) if of is float else of):
        wrong.append(f"{where} is no {of.__name__}: {value!r}")


def facet(value, kind, name, where):
    where += "." + name
    of = classes.get(value.get("_schemaURL") if isinstance(value, dict) else None)
    if of is None or not issubclass(of, kind):
        wrong.append(f"{where} is no {kind.__name__} that the client knows: {value!r}")
        return
    called = re.sub(r"(Run|Job|InputDataset|OutputDataset|Dataset)Facet$", "", of.__name__).lower()
    if called != name.replace("_", "").lower():
        wrong.append(f"{where} is a {of.__name__}")
    build(value, of, where)


def build(value, of, where):
    """Checks every field of an object, and makes the client's object of it, which runs the client's own checks."""
    if not isinstance(value, dict):
        wrong.append(f"{where} is no object: {value!r}")
        return
    before, fields = len(wrong), {a.name: a for a in attr.fields(of)}
    for key in value:
        if key not in fields:
            wrong.append(f"{where}.{key} is no field of {of.__name__}")
    for name, a in fields.items():
        if name in value:
            fits(value[name], a.type, f"{where}.{name}")
        elif a.default is attr.NOTHING:
            wrong.append(f"{where} has no {name}")
    if len(wrong) > before:
        return
    try:
        of(**{a.alias: value[a.name] for a in fields.values() if a.init and a.name in value})
    except (TypeError, ValueError) as refused:
        wrong.append(f"{where}: {refused}")


seen = 0
for n, line in enumerate(sys.stdin):
    event, seen = json.loads(line), seen + 1
    if event.get("schemaURL") != base.RunEvent._get_schema():
        wrong.append(f"event {n} is of {event.get('schemaURL')}")
    build(event, base.RunEvent, f"event {n}")
print(*wrong, f"{seen} events", sep="\n")

"""Lists the keys of a legacy XML configuration: the expected answer of a test, made without the reader.

    xz -dc FILE.xml.xz | python3 xml_keys.py > FILE.xml.allkeys.json

Each key is [path, value type, value], in the order of the file. Bytes are in hexadecimal.
"""
import base64
import json
import sys
import xml.etree.ElementTree as etree

VALUES = {
    "integer": lambda text: [3, int(text)],
    "string": lambda text: [6, text],
    "bytes": lambda text: [7, "hex:" + base64.b64decode("".join(text.split()), validate=True).hex()],
    "bool": lambda text: [8, {"True": True, "False": False}[text]],
}


def keys(element, parent):
    path = f"{parent}/{element.tag}"
    if "type" in element.attrib:
        yield [path, *VALUES[element.get("type")](element.text or "")]
    for child in element:
        yield from keys(child, path)


lines = (json.dumps(key) for key in keys(etree.fromstring(sys.stdin.buffer.read()), ""))
print("[\n" + ",\n".join(lines) + "\n]")

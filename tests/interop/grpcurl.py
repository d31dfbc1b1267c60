"""What docs/clients.md shows of grpcurl is what happens.

usage: grpcurl.py ADDRESS [--write]

Every `$ grpcurl` of its console blocks is run, with the address replaced, and must
print what stands below it. With --write, the page is changed to what they print.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "clients.md"
ADDRESS = "127.0.0.1:50051"
TIMEOUT_SECONDS = 30
BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)


def answer_of(command, address):
    tools = ROOT / "build" / "tools"
    done = subprocess.run(
        command.replace("grpcurl ", f"{tools}/grpcurl ", 1).replace(ADDRESS, address),
        shell=True, text=True, timeout=TIMEOUT_SECONDS, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    # grpcurl mixes tabs and spaces in the details of an error.
    return re.sub(r"[ \t]+$", "", done.stdout.expandtabs(4), flags=re.MULTILINE)


def answered(block, address):
    """The block with every answer of grpcurl as it is now, and how many there are."""
    parts = re.split(r"(?m)^(?=\$ )", block)
    count = 0
    for i, part in enumerate(parts):
        if part.startswith("$ grpcurl "):
            command = part[2:].partition("\n")[0]
            parts[i] = f"$ {command}\n{answer_of(command, address).rstrip()}\n"
            count += 1
    return "".join(parts), count


def check(address, write=False):
    """How many commands answer as docs/clients.md says. Raises ValueError if one differs."""
    text = PAGE.read_text()
    total = 0
    for block in BLOCK.findall(text):
        now, count = answered(block, address)
        total += count
        if write:
            text = text.replace(block, now)
        elif now != block:
            raise ValueError(f"docs/clients.md has\n{block}\nbut now it is\n{now}")
    if total == 0:
        raise ValueError("docs/clients.md: no call of grpcurl")
    for command in re.findall(r"(?m)^grpcurl .*", README.read_text()):
        if f"$ {command}\n" not in text:
            raise ValueError(f"README.md: {command}\nmust be shown in docs/clients.md, too")
    if write:
        PAGE.write_text(text)
    return total


if __name__ == "__main__":
    print(check(sys.argv[1], "--write" in sys.argv[2:]), "commands of grpcurl")

"""Runs a command on a terminal of its own, as a user would.

Usage: terminal.py STEP... -- COMMAND...
  expect:TEXT   wait until TEXT was printed, after what earlier steps have waited for
  send:TEXT     type TEXT (Python escapes: \\n, \\x03)
  resize:ROWSxCOLUMNS
  kill:SIGNAL   send a signal to COMMAND
  hangup        close the terminal
Prints what was printed, without carriage returns; then a line with the wait status, and whether the terminal has its settings again.
"""

import codecs, fcntl, os, pty, select, signal, struct, sys, termios, time

at = sys.argv.index("--")
steps, command = sys.argv[1:at], sys.argv[at + 1:]
began, begin = os.pipe()
pid, master = pty.fork()
if pid == 0:
    os.read(began, 1)  # the settings from before are noted first
    for ignored in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT:  # by a shell in the background, and by nohup
        signal.signal(ignored, signal.SIG_DFL)
    os.execvp(command[0], command)
printed, seen, deadline = b"", 0, time.monotonic() + 120


def resize(rows, columns):
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def read(timeout=0.1):
    global printed
    if time.monotonic() > deadline:
        sys.stdout.write(printed.decode("utf-8", "backslashreplace"))
        sys.exit("timeout")
    if not select.select([master], [], [], timeout)[0]:
        return True
    try:
        found = os.read(master, 65536)
    except OSError:
        return False
    printed += found.replace(b"\r", b"")
    return bool(found)


resize(24, 80)
before = termios.tcgetattr(master)
os.write(begin, b"\n")
for step in steps:
    verb, _, text = step.partition(":")
    if verb == "expect":
        while (found := printed.find(text.encode(), seen)) < 0:
            if not read():
                sys.exit(f"ended before {text!r}: {printed!r}")
        seen = found + len(text)
    elif verb == "send":
        os.write(master, codecs.decode(text, "unicode_escape").encode("latin-1"))
    elif verb == "resize":
        resize(*map(int, text.split("x")))
    elif verb == "kill":
        os.kill(pid, getattr(signal, "SIG" + text))
    elif verb == "hangup":
        os.close(master)
    else:
        sys.exit(f"unknown step {step}")
if "hangup" in steps:
    _, status = os.waitpid(pid, 0)
    settings = "gone"
else:
    while read():
        pass
    _, status = os.waitpid(pid, 0)
    settings = "restored" if termios.tcgetattr(master) == before else "changed"
sys.stdout.write(printed.decode("utf-8", "backslashreplace"))
print(f"\nended with {os.waitstatus_to_exitcode(status)}, terminal {settings}")

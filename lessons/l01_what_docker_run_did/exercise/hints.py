"""One next thought for each thing that can be missing."""

PLAN = "Return a list of operations, as in `return [SetLinkUp(link)]`. Go back to step 6 above: it shows all of them."
UP = "A new link is down, as a new machine is switched off. Which of the three operations switches it on?"
ADDRESS = (
    "`AddAddress(link, address)` says which link gets which address; the address comes with its prefix, as in `/16`."
)
ROUTE = (
    'eth0 knows its own network only. `AddRoute("default", gateway)` says where everything else goes; '
    "the kernel takes it only when the gateway can be reached, so it cannot come first."
)
REACH = "All three are there, and nobody gets through: compare address and prefix with those of kk0."
# By words of the kernel's refusal.
REFUSED = (
    ("unreachable", ROUTE),
    ("network is down", UP),
    ("exists", "The kernel has that already: is something in your plan twice?"),
    ("no such device", "The link's name is given to your function: use `link`, as in `SetLinkUp(link)`."),
    ("cannot find device", "The link's name is given to your function: use `link`, as in `SetLinkUp(link)`."),
)
OTHERWISE = "Read the shell line as if you had typed it: is each word in its place? Step 6 above shows three that work."

"""Loading a catalog file into the shop: `zoco import` (command.py), and the same as a function (importing.py)."""

import sys

from .part import WORD

print(__name__, __package__, __spec__.name, __file__, sys.argv, sys.path[0], WORD)

"""What keeps an index well, and gets it back on a bad day: verify, repair, migrate, back up, restore, export, import.

Each function takes the folder of an index, needs no more of it than can still be read, and destroys nothing before what
takes its place is verified.
"""

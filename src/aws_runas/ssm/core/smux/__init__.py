"""smux version 1: many streams over the one byte stream of a port session (spec 10). Sans-IO, both sides.

``frame`` is the codec, ``stream`` is the state of one stream, ``schedule`` decides which stream sends next, and
``session`` combines them. Only the standard library is imported, and nothing here depends on the data channel.
"""

"""smux version 1: many streams over the one byte stream of a port session (spec 10). Sans-IO, both sides.

``frame`` is the codec, ``stream`` one stream's state, ``schedule`` decides who sends next, ``session`` ties them
together. Only the standard library is imported, and nothing here knows of the data channel.
"""

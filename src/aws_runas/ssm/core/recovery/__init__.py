"""Loss detection and congestion control, after RFC 6298 and RFC 9002."""

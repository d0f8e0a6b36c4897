"""Process that keeps named tunnels open, and its control socket."""

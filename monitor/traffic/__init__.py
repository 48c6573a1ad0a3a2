"""Traffic without text: recorded at the proxy, anonymised, and sent again to a target."""

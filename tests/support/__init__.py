"""What the tests stand on: services, databases, the clock and the network guard."""

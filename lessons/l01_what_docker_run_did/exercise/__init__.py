"""Exercise 1: a container that was started without its address gets one, by a plan of your own."""

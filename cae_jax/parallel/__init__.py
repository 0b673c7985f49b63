"""Several hosts, devices and batches: what spreads work over them."""

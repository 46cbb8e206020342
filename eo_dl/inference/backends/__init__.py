"""Engines that run a network: `choice.make_backend` picks one for a model and a machine."""

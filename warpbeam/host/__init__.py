"""One host: phases, their answers, and this machine as a host."""

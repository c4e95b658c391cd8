"""Networks with names of their own: those of Table 1, torch's in a form that can be saved, a contractive one."""

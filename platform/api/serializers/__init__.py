"""What goes over the wire. Rows are named by opaque ids; nothing here reads the database."""

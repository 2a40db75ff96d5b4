"""Rules of this installation: nothing is refused by a cluster, and all the same it is a mistake here."""

"""What the HTML pages share: one base page, one style, one set of number formats; nothing in them runs."""

"""What the page draws: SVG, coloured by the style sheet."""

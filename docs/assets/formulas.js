// Every formula that the Markdown extension has marked is set by KaTeX. A formula that KaTeX cannot read is an error
// on the console, which the test of the pages sees.
document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll(".arithmatex")) {
    const text = element.textContent.trim();
    const display = text.startsWith("\\[");
    katex.render(text.slice(2, -2), element, { displayMode: display, throwOnError: true });
  }
});

// A flag is looked for by its name: before a word the dashes would mean "without it", and two are an error to the search.
document.addEventListener("input", (event) => {
  const field = event.target;
  if (field.matches(".md-search__input")) {
    field.value = field.value.replace(/(^|\s)-+/g, "$1");
  }
}, true);

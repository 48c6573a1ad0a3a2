// Light or dark: as the system says, or as somebody chose.

const PLACE = "specwatch.theme";
const select = document.getElementById("theme");

function use(theme) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

select.value = localStorage.getItem(PLACE) ?? "auto";
if (select.selectedIndex < 0) select.value = "auto";
use(select.value);
select.addEventListener("change", () => {
  localStorage.setItem(PLACE, select.value);
  use(select.value);
});

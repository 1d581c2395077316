// Sets light or dark before the first paint: as chosen, or else as in the system.
(function () {
    var chosen = null;
    try {
        chosen = localStorage.getItem("dunlin.theme");
    } catch (_) {
        // a browser may keep nothing
    }
    var root = document.documentElement;
    root.dataset.theme = chosen === "light" || chosen === "dark" ? chosen : "system";
})();

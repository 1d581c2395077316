// Light or dark before anything is painted: as chosen, or else as the system has it.
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

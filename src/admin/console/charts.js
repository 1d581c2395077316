// Charts: small ones as one path, large ones by uPlot, which is loaded when the first of them is shown.
import { html, useEffect, useRef } from "./kit.js";

export const Spark = ({ values, kind = 1 }) => {
    const all = values.slice(-180);
    const top = Math.max(...all, 1e-9);
    const step = 200 / Math.max(all.length - 1, 1);
    const points = all.map((value, at) => `${(at * step).toFixed(1)} ${(32 - (Math.max(value, 0) / top) * 26).toFixed(1)}`);
    const line = points.length > 1 ? `M${points.join("L")}` : "M0 32H200";
    return html`<svg viewBox="0 0 200 34" preserveAspectRatio="none" aria-hidden="true">
        <path d=${`${line}L200 34L0 34Z`} fill=${`var(--series-${kind})`} opacity="0.1" />
        <path d=${line} fill="none" stroke=${`var(--series-${kind})`} stroke-width="1.500" vector-effect="non-scaling-stroke" /></svg>`;
};

let loading = null;
const load = () =>
    (loading ??= new Promise((done, failed) => {
        const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "vendor/uplot.css" });
        const script = Object.assign(document.createElement("script"), { src: "vendor/uplot.js", onload: () => done(window.uPlot), onerror: failed });
        document.head.append(style, script);
    }));

// A colour of the style sheet, as it is in this theme.
const colour = (name) => {
    const probe = document.body.appendChild(document.createElement("span"));
    probe.style.color = `var(${name})`;
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
};

// `data`: seconds of Unix time, then a list of numbers for each name.
export const Chart = ({ data, names, format, height = 190, label, zero = true }) => {
    const box = useRef(null);
    const plot = useRef(null);
    const latest = useRef(data);
    latest.current = data;
    useEffect(() => {
        let ended = false;
        const draw = async () => {
            const UPlot = await load();
            if (ended || !box.current) return;
            plot.current?.destroy();
            const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11.5px system-ui, sans-serif" };
            plot.current = new UPlot(
                {
                    width: box.current.clientWidth - 20,
                    height,
                    padding: [8, 22, 0, 0],
                    legend: { show: false },
                    cursor: { points: { size: 6 }, y: false, drag: { x: true, y: false } },
                    scales: { x: { time: true }, y: { range: (u, low, high) => [zero ? 0 : low - (high - low || 1) * 0.1, high > low || high > 0 ? high + (high - (zero ? 0 : low) || 1) * 0.1 : 1] } },
                    axes: [
                        { ...axis, size: 30, space: 70, values: (u, all) => all.map((at) => new Date(at * 1000).toLocaleTimeString("en-GB")) },
                        { ...axis, size: 62, values: (u, all) => all.map((value) => format(value)) },
                    ],
                    series: [{}, ...names.map((name, at) => ({ label: name, stroke: colour(`--series-${at + 1}`), width: 1.6, points: { show: false }, spanGaps: true }))],
                },
                latest.current,
                box.current,
            );
        };
        draw().catch(() => {});
        const again = () => draw().catch(() => {});
        const observer = new ResizeObserver(() => box.current && plot.current?.setSize({ width: box.current.clientWidth - 20, height }));
        observer.observe(box.current);
        addEventListener("dunlin-theme", again);
        const system = matchMedia("(prefers-color-scheme: dark)");
        system.addEventListener("change", again);
        return () => {
            ended = true;
            observer.disconnect();
            removeEventListener("dunlin-theme", again);
            system.removeEventListener("change", again);
            plot.current?.destroy();
            plot.current = null;
        };
    }, [names.join(), zero]);
    useEffect(() => plot.current?.setData(data), [data]);
    return html`<div class="chart" ref=${box} role="img" aria-label=${label} style=${{ height: `${height + 16}px` }}></div>`;
};

export const Legend = ({ entries }) => html`<div class="legend">${entries.map(([name, value], at) => html`<span><i class=${`s${at + 1}`}></i>${name} ${value}</span>`)}</div>`;

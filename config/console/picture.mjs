// Devices that publish, and the page of topics: node picture.mjs READY_FILE PNG
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.CONSOLE_ROOT}/`)("playwright-core");
const [ready, png] = process.argv.slice(2);
const { listeners, http } = JSON.parse(readFileSync(ready));

const devices = [];
const device = (id, topic, retain, value) => {
    const client = spawn("mosquitto_pub", ["-h", "127.0.0.1", "-p", listeners[0].port, "-i", id, "-t", topic, "-q", "1", "-l", ...(retain ? ["-r"] : [])], { stdio: ["pipe", "ignore", "inherit"] });
    devices.push({ client, send: () => client.stdin.write(`${value()}\n`) });
};
const about = (middle, around) => Number((middle + (Math.random() - 0.5) * 2 * around).toFixed(1));
for (const room of ["bath", "bedroom", "kitchen", "living"]) {
    let temperature = about(20.5, 2);
    device(`sensor-${room}`, `home/${room}/climate`, true, () => {
        temperature = Number((temperature + about(0, 0.3)).toFixed(1));
        return JSON.stringify({ temperature, humidity: Math.round(about(50, 8)), battery: { volts: 3.8, low: false } });
    });
    device(`light-${room}`, `home/${room}/light/state`, true, () => (Math.random() < 0.5 ? "ON" : "OFF"));
}
device("line-1", "plant/line-1/press/force", false, () => about(410, 12));
device("line-1-b", "plant/line-1/press/state", true, () => "running");
device("camera-1", "plant/line-1/camera/seen", false, () => JSON.stringify({ parts: Math.round(about(12, 3)), rejected: 0 }));

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: "light" });
await page.goto(`${http[0]}/#/topics/${encodeURIComponent("home/kitchen/climate")}`.replace("//#", "/#"));
const sends = setInterval(() => devices.forEach(({ send }) => send()), 500);
await page.locator(".history tr").nth(39).waitFor();
await page.screenshot({ path: png });
clearInterval(sends);
devices.forEach(({ client }) => client.kill());
await browser.close();

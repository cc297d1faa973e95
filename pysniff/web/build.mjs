// Builds the page into static/: a script and its later parts, one style sheet, the icon, and the document that names them.
//
//   node build.mjs           for packages: minified
//   node build.mjs --watch   while working on the page
//   node build.mjs --test    runs the tests of tests/web/
import { spawnSync } from "node:child_process";
import { chmod, cp, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const built = path.join(here, "static");
const shared = { bundle: true, target: "es2022", format: "esm", absWorkingDir: here, logLevel: "warning" };

/** Names carry a hash of the content, so browsers may keep them for ever. */
const page = (outdir, minify) => ({
  ...shared,
  entryPoints: ["src/page.tsx"],
  outdir,
  splitting: true,
  entryNames: "[name]-[hash]",
  chunkNames: "chunk-[hash]",
  minify,
  sourcemap: minify ? false : "linked",
  metafile: true,
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
});

async function document(directory, metafile) {
  const names = Object.keys(metafile.outputs).map((file) => path.basename(file));
  const one = (ending) => names.find((name) => name.startsWith("page-") && name.endsWith(ending));
  const template = await readFile(path.join(here, "src/index.html"), "utf8");
  const text = template.replace("{script}", one(".js")).replace("{style}", one(".css"));
  await writeFile(path.join(directory, "index.html"), text);
  await cp(path.join(here, "src/icon.svg"), path.join(directory, "icon.svg"));
}

/** Made aside and then put in place, so that nobody is served half a page. */
async function build() {
  const made = await mkdtemp(path.join(here, ".static-"));
  const before = `${made}-before`;
  try {
    await document(made, (await esbuild.build(page(made, true))).metafile);
    await chmod(made, 0o755); // mkdtemp() makes what its owner alone may read
    await rename(built, before).catch((error) => {
      if (error.code !== "ENOENT") throw error;
    });
    await rename(made, built);
  } finally {
    await rm(made, { recursive: true, force: true });
    await rm(before, { recursive: true, force: true });
  }
}

async function watch() {
  await rm(built, { recursive: true, force: true });
  const renew = {
    name: "document",
    setup: (on) => on.onEnd((result) => result.metafile && document(built, result.metafile)),
  };
  await (await esbuild.context({ ...page(built, false), plugins: [renew] })).watch();
}

async function test() {
  const tests = path.join(here, "../../tests/web");
  const names = (await readdir(tests)).filter((name) => name.endsWith(".test.ts"));
  const bundles = await mkdtemp(path.join(tmpdir(), "pysniff-web-"));
  try {
    await esbuild.build({
      ...shared,
      entryPoints: names.map((name) => path.join(tests, name)),
      outdir: bundles,
      platform: "node",
      outExtension: { ".js": ".mjs" },
      nodePaths: [path.join(here, "node_modules")],
      jsx: "automatic",
      jsxImportSource: "preact",
    });
    const files = names.map((name) => path.join(bundles, name.replace(/\.ts$/, ".mjs")));
    process.exitCode =
      spawnSync(process.execPath, ["--test", "--test-reporter=dot", ...files], { stdio: "inherit" }).status ?? 1;
  } finally {
    await rm(bundles, { recursive: true });
  }
}

const run = process.argv.includes("--test") ? test : process.argv.includes("--watch") ? watch : build;
await run();

# A formula for a Homebrew tap. The release workflow fills in HOMEPAGE, VERSION and SHA256, and attaches it to the release.
class Dunlin < Formula
  desc "MQTT broker in one binary; what it acknowledges is on disk"
  homepage "HOMEPAGE"
  url "HOMEPAGE/archive/refs/tags/vVERSION.tar.gz"
  sha256 "SHA256"
  license "Apache-2.0"

  depends_on "rust" => :build
  depends_on :linux

  def install
    system "cargo", "install", *std_cargo_args
    generate_completions_from_executable(bin/"dunlin", "completions")
    system bin/"dunlin", "man", buildpath/"man"
    man1.install Dir["man/*.1"]
  end

  service do
    run [opt_bin/"dunlin", "--data-dir", var/"dunlin"]
    keep_alive true
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/dunlin --version")
  end
end

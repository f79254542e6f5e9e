// SPDX-License-Identifier: Apache-2.0
// The fuzz target of the plugin's input (tests/fuzz/cni_fuzz.cc) on its corpus and on changes of
// it, the same in every run: what every build checks without libFuzzer.
#include <gtest/gtest.h>

#include <random>

#include "agent/base/file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace conode::cni {
namespace {

constexpr const char* kCorpus = "fuzz/cni_corpus";

void feed(const std::string& text) {
  EXPECT_EQ(LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(text.data()), text.size()), 0);
}

std::vector<std::string> corpus() {
  std::vector<std::string> texts;
  const std::vector<std::string> names = list_dir(kCorpus).value();
  texts.reserve(names.size());
  for (const std::string& name : names)
    texts.push_back(read_file(std::string(kCorpus) + "/" + name).value());
  return texts;
}

// Bytes changed, pieces cut out, pieces of another text put in.
std::string changed(std::string text, const std::string& other, std::mt19937& random) {
  const auto below = [&](size_t bound) { return bound == 0 ? 0 : random() % bound; };
  for (size_t left = 1 + below(4); left > 0; --left) {
    const size_t at = below(text.size());
    switch (below(4)) {
      case 0:
        if (!text.empty()) text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, below(16));
        break;
      case 2:
        text.insert(at, other.substr(below(other.size()), below(64)));
        break;
      default:
        text.insert(at, 1, "{}[]\",:0-9.\\/\t\n"[below(15)]);
    }
  }
  return text;
}

TEST(Input, OfTheCorpusIsSurvived) {
  const std::vector<std::string> texts = corpus();
  ASSERT_FALSE(texts.empty());
  feed("");
  for (const std::string& text : texts) feed(text);
}

TEST(Input, ChangedAtRandomIsSurvived) {
  constexpr int kRounds = 3000;
  const std::vector<std::string> texts = corpus();
  std::mt19937 random(1);
  for (int round = 0; round < kRounds; ++round)
    feed(changed(texts[random() % texts.size()], texts[random() % texts.size()], random));
}

}  // namespace
}  // namespace conode::cni

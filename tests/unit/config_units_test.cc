// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/config/suggestion.h"
#include "agent/config/units.h"
#include "agent/config/value.h"

namespace conode::config {
namespace {

using std::chrono::milliseconds;

struct BytesCase {
  std::string text;
  std::optional<uint64_t> bytes;
};

TEST(ConfigUnits, ParseBytes) {
  const BytesCase cases[] = {
      {"0", 0},
      {"1024", 1024},
      {"512Mi", 536870912},
      {"4Gi", 4294967296},
      {"4G", 4000000000},
      {"1.5Gi", 1610612736},
      {"2k", 2000},
      {"1Pi", 1125899906842624},
      {"18446744073709551615", UINT64_MAX},
      {"18446744073709551616", {}},
      {"99999999Pi", {}},
      {"9999999.9Pi", {}},
      {"", {}},
      {"Gi", {}},
      {"4GB", {}},
      {"4 Gi", {}},
      {"4gi", {}},
      {"-4Gi", {}},
      {"1.2.3Gi", {}},
      {".", {}},
      {"1e9", {}},
      {"nan", {}},
      {"0x10", {}},
  };
  for (const BytesCase& c : cases) EXPECT_EQ(parse_bytes(c.text), c.bytes) << c.text;
}

TEST(ConfigUnits, FormatBytesReadsBack) {
  for (const uint64_t bytes :
       {0UL, 1UL, 1000UL, 1024UL, 1536UL, 4000000000UL, 4294967296UL, 1UL << 63U, UINT64_MAX})
    EXPECT_EQ(parse_bytes(format_bytes(bytes)), bytes) << format_bytes(bytes);
  EXPECT_EQ(format_bytes(4294967296), "4Gi");
  EXPECT_EQ(format_bytes(4000000000), "4G");
  EXPECT_EQ(format_bytes(1610612736), "1536Mi");
}

struct DurationCase {
  std::string text;
  std::optional<int64_t> milliseconds;
};

TEST(ConfigUnits, ParseDuration) {
  const DurationCase cases[] = {{"500ms", 500},
                                {"90s", 90000},
                                {"2m", 120000},
                                {"1h30m", 5400000},
                                {"0s", 0},
                                {"1h1m1s1ms", 3661001},
                                {"", {}},
                                {"90", {}},
                                {"0", {}},
                                {"s", {}},
                                {"1.5h", {}},
                                {"-1s", {}},
                                {"1d", {}},
                                {"1 s", {}},
                                {"99999999999999999999h", {}},
                                {"9999999999999h", {}},
                                {"4000000000000000ms4000000000000000ms", {}},
                                {"1h30", {}}};
  for (const DurationCase& c : cases) {
    const auto parsed = parse_duration(c.text);
    const auto count = parsed ? std::optional(parsed->count()) : std::nullopt;
    EXPECT_EQ(count, c.milliseconds) << c.text;
  }
}

TEST(ConfigUnits, FormatDurationReadsBack) {
  for (const int ms : {0, 1, 500, 1000, 90000, 120000, 5400000, 3661001})
    EXPECT_EQ(parse_duration(format_duration(milliseconds(ms))), milliseconds(ms)) << ms;
  EXPECT_EQ(format_duration(milliseconds(90000)), "90s");
  EXPECT_EQ(format_duration(milliseconds(120000)), "2m");
}

TEST(ConfigUnits, ParseShare) {
  for (const char* text : {"25%", "0.25", "25.0%", ".25"})
    EXPECT_EQ(parse_share(text), 0.25) << text;
  EXPECT_EQ(parse_share("25"), 25.0);  // the bounds refuse it
  for (const char* text : {"", "%", "25 %", "-1%", "nan", "inf", "1/4", "0.25%%", "1e-1", "a"})
    EXPECT_EQ(parse_share(text), std::nullopt) << text;
  for (const double share : {0.001, 0.25, 0.29, 1.0 / 3, 0.57, 1.0})
    EXPECT_EQ(parse_share(format_share(share)), share) << format_share(share);
}

TEST(ConfigUnits, ParseBool) {
  for (const char* text : {"true", "True", "yes", "on", "1"}) EXPECT_EQ(parse_bool(text), true);
  for (const char* text : {"false", "NO", "off", "0"}) EXPECT_EQ(parse_bool(text), false);
  for (const char* text : {"", "2", "t", "enabled", "tru"})
    EXPECT_EQ(parse_bool(text), std::nullopt);
}

TEST(ConfigUnits, ParsePrefix) {
  const auto prefix = parse_prefix("10.88.0.0/16");
  ASSERT_TRUE(prefix);
  EXPECT_EQ(prefix->address, 0x0a580000U);
  EXPECT_EQ(prefix->length, 16U);
  EXPECT_EQ(format_prefix(*prefix), "10.88.0.0/16");
  EXPECT_TRUE(parse_prefix("0.0.0.0/0"));
  EXPECT_TRUE(parse_prefix("10.0.0.1/32"));
  const std::string with_nul("10.0.0.0\0x/8", 12);
  for (const std::string& text :
       {std::string(""), std::string("10.88.0.0"), std::string("10.88/16"),
        std::string("10.88.0.0/33"), std::string("10.88.0.0/"), std::string("/16"),
        std::string("256.0.0.0/8"), std::string("fd00::/8"), std::string("10.0.0.0/8/8"),
        std::string("10.0.0.0/-1"), with_nul})
    EXPECT_FALSE(parse_prefix(text)) << text;
}

struct OverlapCase {
  const char* a;
  const char* b;
  bool overlap;
};

TEST(ConfigUnits, PrefixOverlap) {
  const OverlapCase cases[] = {
      {"10.88.0.0/16", "10.88.4.0/24", true}, {"10.88.0.0/16", "10.89.0.0/16", false},
      {"0.0.0.0/0", "192.168.0.0/16", true},  {"10.0.0.0/15", "10.1.0.0/16", true},
      {"10.0.0.1/32", "10.0.0.1/32", true},   {"10.0.0.1/32", "10.0.0.2/32", false}};
  for (const OverlapCase& c : cases) {
    EXPECT_EQ(parse_prefix(c.a)->overlaps(*parse_prefix(c.b)), c.overlap) << c.a << " " << c.b;
    EXPECT_EQ(parse_prefix(c.b)->overlaps(*parse_prefix(c.a)), c.overlap) << c.b << " " << c.a;
  }
}

TEST(ConfigSuggestion, EditDistance) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("abc", ""), 3U);
  EXPECT_EQ(edit_distance("cores", "coers"), 1U);  // neighbours swapped
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

struct SuggestionCase {
  const char* section;
  const char* word;
  const char* remedy;  // null: nothing is near
};

TEST(ConfigSuggestion, Keys) {
  const SuggestionCase cases[] = {
      {"partition", "k8s_coers", "did you mean 'k8s_cores'?"},
      {"partition", "k8s-cores", "did you mean 'k8s_cores'?"},
      {"partition", "K8S_CORES", "did you mean 'k8s_cores'?"},
      {"", "k8s_cores", "did you mean 'k8s_cores'? It stands under 'partition:'"},
      {"", "partition.k8s_cores", "did you mean 'k8s_cores'? It stands under 'partition:'"},
      {"network", "bundle", "did you mean 'bundle'? It stands at the top of the file"},
      {"", "partitions", "did you mean 'partition'?"},
      {"", "image", "did you mean 'images'?"},
      {"log", "le_vel", "did you mean 'level'?"},
      {"enforcement", "le_vel", "did you mean 'level'?"},
      {"", "colour", nullptr},
      {"", "", nullptr},
      {"partition", "memory", nullptr},
  };
  const std::vector<Key> keys = all_keys();
  for (const SuggestionCase& c : cases)
    EXPECT_EQ(suggest_key(keys, c.section, c.word).value_or("-"), c.remedy ? c.remedy : "-")
        << c.section << ": " << c.word;
  EXPECT_EQ(suggest_key(keys, "", std::string(100000, 'x')), std::nullopt);
}

const std::map<std::string, std::string> kVariables{
    {"HOME", "/home/ada"}, {"USER", "ada"}, {"EMPTY", ""}, {"ODD", "a$b}"}};

struct PathCase {
  const char* text;
  const char* path;
};

TEST(ConfigPath, Expands) {
  const PathCase cases[] = {{"/a", "/a"},
                            {"a/b", "/base/a/b"},
                            {"~", "/home/ada"},
                            {"~/x", "/home/ada/x"},
                            {"/s/${USER}/x", "/s/ada/x"},
                            {"${EMPTY:-/tmp}/x", "/tmp/x"},
                            {"${NONE:-}/x", "/x"},
                            {"${USER:-eve}", "/base/ada"},
                            {"/a$$b", "/a$b"},
                            {"/${ODD}", "/a$b}"},
                            {"/a~", "/a~"}};
  for (const PathCase& c : cases) {
    const auto path = expand_path(c.text, "/base", kVariables);
    ASSERT_TRUE(path) << c.text << ": " << path.error().context;
    EXPECT_EQ(*path, c.path) << c.text;
  }
}

TEST(ConfigPath, Refuses) {
  for (const char* text : {"/s/$USER", "/${", "/$", "/${USER", "/${NONE}", "/${EMPTY}", "~eve/x"}) {
    const auto path = expand_path(text, "/base", kVariables);
    ASSERT_FALSE(path) << text;
    EXPECT_FALSE(path.error().remedy.empty()) << text;
  }
  EXPECT_FALSE(expand_path("~/x", "/base", {}));
}

}  // namespace
}  // namespace conode::config

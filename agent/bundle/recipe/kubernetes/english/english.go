// SPDX-License-Identifier: Apache-2.0

// Package english keeps kubectl from unpacking its message catalogue (a zip of 4 MB, 20 ms) in every
// start of every component, unless the user's locale asks for another language. It has to come
// before the packages whose variables are translated: Go initialises packages that are ready in the
// order of their import paths, and this one's comes before k8s.io.
package english

import (
	"cmp"
	"os"
	"strings"

	"k8s.io/kubectl/pkg/util/i18n"
)

func init() {
	locale := cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG"), "C")
	if locale == "C" || locale == "POSIX" || strings.HasPrefix(locale, "C.") ||
		strings.HasPrefix(locale, "en") {
		_ = i18n.SetLoadTranslationsFunc(func() error { return nil })
	}
}

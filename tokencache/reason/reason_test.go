package reason_test

import (
	"testing"

	"github.com/rebearer/rebearer/tokencache/reason"
)

// B37: the set is closed, and each reason is in one class.
func TestEachReasonIsInOneClass(t *testing.T) {
	for class, reasons := range map[string][]reason.Reason{
		"ends": {reason.Refused, reason.Ambiguous, reason.SubjectChanged, reason.LoggedOut, reason.Replaced},
		"transient": {
			reason.Timeout, reason.Network, reason.Unavailable, reason.RateLimited, reason.Overloaded, reason.Malformed,
			reason.Unrecognised, reason.Store, reason.StoreFormat, reason.Panicked, reason.Rejected,
		},
		"misconfigured": {reason.ClientRefused, reason.Endpoint, reason.Configuration},
	} {
		for _, r := range reasons {
			if !r.Known() {
				t.Errorf("%q is not known", r)
			}
			if r.Ends() != (class == "ends") || r.Misconfigured() != (class == "misconfigured") {
				t.Errorf("%q: Ends is %v and Misconfigured is %v, in the class %q", r, r.Ends(), r.Misconfigured(), class)
			}
		}
	}
	for _, r := range []reason.Reason{"", "anything", "REFUSED"} {
		if r.Known() || r.Ends() || r.Misconfigured() {
			t.Errorf("%q is in the set", r)
		}
	}
}

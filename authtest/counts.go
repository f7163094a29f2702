package authtest

// Counts are what an [AS] has seen of refreshes and revocations since it was
// started or [AS.ResetCounts] was called. SignIn is not in them.
type Counts struct {
	// Presentations is how many refresh tokens arrived at the refresh
	// endpoints, in both styles and whatever came of them, faults included.
	Presentations int
	// Refreshes is how many of them were exchanged, lost answers included.
	Refreshes int
	// Tolerated is how many of the Refreshes Grace allowed.
	Tolerated int
	// Refused is how many refresh tokens were not accepted.
	Refused int
	// Reuses is how many of the Refused had been superseded. Under Strict,
	// each is a token that was presented twice.
	Reuses int
	// BadClients is how many requests failed to authenticate the client.
	BadClients int
	// Revocations is how many tokens arrived at the revocation endpoint and
	// the logout of the cookie style, faults included.
	Revocations int
	// MaxInFlight is the most requests that were at the refresh endpoints at
	// a time. What a client has the whole answer of is no longer in flight,
	// unless that is longer than 2 KiB or came in pieces.
	MaxInFlight int
}

// Counts returns the counts so far.
func (as *AS) Counts() Counts {
	as.mu.Lock()
	defer as.mu.Unlock()
	return as.counts
}

// PresentationsOf returns how often the refresh token arrived at the refresh
// endpoints.
func (as *AS) PresentationsOf(refreshToken string) int {
	as.mu.Lock()
	defer as.mu.Unlock()
	return as.presented[refreshToken]
}

// ResetCounts sets all counts to zero. Requests in flight stay in flight.
func (as *AS) ResetCounts() {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.counts = Counts{MaxInFlight: as.inFlight}
	clear(as.presented)
}

// arrive counts a request at a refresh endpoint, which shows a refresh token
// unless that is empty, and returns its fault.
func (as *AS) arrive(refreshToken string) Fault {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.inFlight++
	as.counts.MaxInFlight = max(as.counts.MaxInFlight, as.inFlight)
	if refreshToken != "" {
		as.counts.Presentations++
		as.presented[refreshToken]++
	}
	return as.refreshing.next()
}

func (as *AS) leave() {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.inFlight--
}

// arriveRevoke counts a request at a revocation endpoint and returns its fault.
func (as *AS) arriveRevoke(token string) Fault {
	as.mu.Lock()
	defer as.mu.Unlock()
	if token != "" {
		as.counts.Revocations++
	}
	return as.revoking.next()
}

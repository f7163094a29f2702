/* One refresh token R, N replicas and one Store: R is presented to the
 * authorization server (AS) at most once. The model follows package tokencache:
 * settled, lead, take, renew, publish, put, fail, elsewhere. See README.md.
 *
 * Time. There are no clocks. What a timer may do is told by who is at work:
 *  - A healthy holder renews faster than the lease. So a waiter's lease ends
 *    only if nobody healthy holds the entry: the holder has died or ended,
 *    stands still, is cut off from the Store, or has just come back and has
 *    not renewed yet (due). The renewal and the waiter's Swap then race.
 *  - A renewal that changes nothing is no step.
 *  - A stall may be of any length. A process that is not stalled may be slow,
 *    too, but nobody takes it for dead.
 *  - All have the same Timeout. So a leader that was refused, and waits for its
 *    rivals, outwaits all that were presenting when it began, even those that
 *    are cut off; but not one that has stood still (tardy).
 *  - The presentation follows the write of held at once, or the write is done
 *    again, unless the process stands still between.
 *
 * Versions. An old version is never seen again, so it is enough to know of each
 * process whether the version it knows is the current one (CUR), the one
 * before (PRV, which a failover brings back), "" (NONE: nothing was there) or
 * another (OLD).
 *
 * Every step is atomic: one operation of the Store, one message to or from the
 * AS, or one fault.
 */
#ifndef N
#define N 2              /* replicas, at most 3 */
#endif
#ifndef DEATHS
#define DEATHS 0         /* a process is killed */
#endif
#ifndef STALLS
#define STALLS 0         /* a process stands still for longer than a lease */
#endif
#ifndef CUTS
#define CUTS 0           /* a process loses the Store; also: its write was done, the answer is lost */
#endif
#ifndef LOSSES
#define LOSSES 0         /* the Store loses everything, or its last write */
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 0       /* a presentation gets no answer; it may still reach the AS later */
#endif
/* LOGOUT: somebody ends the session at any time.
 * DEAD: the grant may be dead from the beginning.
 * LENIENT: the AS answers every presentation, each time with a new successor.
 * TOMB: the entry that says over ends while somebody stands still.
 * I4_ALL: I4 is asserted even after the Store has lost something.
 * COVER=x: x must not be an outcome (to show that it is one).
 * NO_x: a mutation; see check.sh. NO_NOTE and NO_VERDICT are the code as it was
 *   when the model was made: findings 1 and 2 in README.md. */

mtype = { ABSENT, HELD, DONE, FAILED, OVER };                    /* of the entry */
mtype = { START, WAIT, TAKE, UNSURE, TAKEN, READY, ASK, PUBLISH, REREAD, HOLDON, FAIL, KEPT, ENDED };
mtype = { SUCCESS, ALONE, LOGIN, TRANSIENT, AMBIGUOUS, REFUSED };/* outcomes; the last three are classes of a failure, too */
mtype = { OLD, PRV, CUR, NONE };                                 /* what a process knows of the version */
mtype = { NOTHING, SENT, YES, NO };                              /* a request at the AS */

typedef Entry { mtype st; byte nonce; bool una; byte succ; mtype why };
Entry e, last;           /* the entry of R, and what it was before the last write */
bool haveLast;
mtype ver[N], pc[N], req[N];
byte nonce[N];           /* of a leader's entry; 0 while it leads nothing */
byte got[N];             /* the successor that the AS gave */
bool stalled[N], cut[N], due[N];
byte rivals[N];          /* bits: who was presenting when this one began, and has not ended */
bool tardy[N];           /* has stood still, or been slow, since the write of its entry */
byte nonces, issued, late; /* late: requests that nobody waits for */
bool spent, dead, revoked; /* spent: a presentation of ours succeeded */

byte deaths, stalls, cuts, losses, timeouts;
#define faults (deaths + stalls + cuts + losses + timeouts)
byte presented;
byte adopted;            /* the successor that somebody adopted */
byte stored;             /* bits: successors that the Store has held */
bool buried;             /* over is in the Store */
bool loggedOut;
hidden byte k, m;

#define up       (!stalled[me])
#define at(x)    (up && pc[me] == x)
#define current  (ver[me] == CUR || ver[me] == NONE && e.st == ABSENT)
#define ours     (e.st == HELD && e.nonce == nonce[me])
#define fresh(q) ((pc[q] == TAKEN || pc[q] == READY) && !tardy[q])
#define healthy(q) (nonce[q] == e.nonce && !stalled[q] && (fresh(q) || !cut[q] && !due[q]))
#define working(q) ((pc[q] == ASK || pc[q] == PUBLISH || pc[q] == REREAD || pc[q] == HOLDON || pc[q] == FAIL) && !tardy[q])
#define still(q) stalled[q]
#define moving(q) (pc[q] != ENDED && !stalled[q])
#define rival(q) ((rivals[me] & (1 << q)) && working(q))
#if N == 2
#define nobody(f) (!f(0) && !f(1))
#else
#define nobody(f) (!f(0) && !f(1) && !f(2))
#endif
#ifdef NO_RENEW
#define leaseEnds (e.nonce != nonce[me])  /* a plain lock with a lifetime */
#elif defined(NO_TAKEOVER)
#define leaseEnds false
#else
#define leaseEnds nobody(healthy)
#endif

inline forget() {        /* the entry that was current is no longer */
	k = 0;
	do
	:: k < N && ver[k] == PRV -> ver[k] = OLD; k++
	:: k < N && ver[k] == CUR -> ver[k] = (LOSSES > losses -> PRV : OLD); k++
	:: k < N && ver[k] != PRV && ver[k] != CUR -> k++
	:: k >= N -> break
	od
}
inline write(aS, aN, aU, aX, aW) {
	forget();
	if
	:: LOSSES > losses -> haveLast = true;
		last.st = e.st; last.nonce = e.nonce; last.una = e.una; last.succ = e.succ; last.why = e.why
	:: else
	fi;
	e.st = aS; e.nonce = aN; e.una = aU; e.succ = aX; e.why = aW
}
#define swap(s, n, u, x, w) write(s, n, u, x, w); ver[me] = CUR
#define swapUnheard(s, n, u, x, w) cuts++; cut[me] = true; due[me] = true; write(s, n, u, x, w); ver[me] = OLD
#define own() ver[me] = (ours -> ver[me] : OLD) /* a put starts from the last version of one's own */
inline read() { ver[me] = (e.st == ABSENT -> NONE : CUR) }
#define mayLoseAnswer (cuts < CUTS && !cut[me] && current)

inline go(where) { pc[me] = where }
inline clear() {         /* a flight of me ends: nobody waits for it any more */
	tardy[me] = false; due[me] = false; nonce[me] = 0; risky = false; why = 0; una = false; rivals[me] = 0;
	m = 0;
	do
	:: m < N -> rivals[m] = rivals[m] & ~(1 << me); m++
	:: m >= N -> break
	od
}
inline again() { clear(); go(START) }
inline gone() { stalled[me] = false; cut[me] = false; ver[me] = OLD; got[me] = 0; clear(); go(ENDED) }
inline finish(o) {
#ifdef COVER
	assert(o != COVER);
#endif
	assert(faults > 0 || loggedOut || o == (dead -> REFUSED : SUCCESS));     /* I1 */
#ifdef I4_ALL
	assert(o != REFUSED || !spent);                                          /* I4 */
#else
	assert(o != REFUSED || !spent || losses > 0);                            /* I4 */
#endif
	gone()
}
#define leave() late = late + (req[me] == SENT && !spent && !dead -> 1 : 0); req[me] = NOTHING /* its request may still arrive */
inline adopt(x) {
	assert(!buried);                                                         /* I5 */
	assert(adopted == 0 || adopted == x || losses > 0);                      /* I5 */
	assert(stored & (1 << x));                                               /* I6 */
	adopted = x; finish(SUCCESS)
}

proctype Replica(byte me) {
	bool risky;      /* R may have been presented by somebody else: stolen, or unanswered */
	mtype why;       /* the failure */
	bool una;        /* it got no answer */
	do
	/* settled: what is there? */
	:: atomic { at(START) && cut[me] -> finish(TRANSIENT) }
	:: atomic { at(START) && !cut[me] -> read(); risky = false;
		if
		:: e.st == ABSENT -> go(TAKE)
		:: e.st == HELD -> go(WAIT)
		:: e.st == DONE -> adopt(e.succ)
		:: e.st == OVER -> finish(LOGIN)
		:: e.st == FAILED -> finish(e.why)               /* it ends, or still cools down */
		:: e.st == FAILED && e.why == TRANSIENT -> risky = e.una; go(TAKE)
		fi }
	:: atomic { at(WAIT) && cut[me] -> finish(TRANSIENT) }
	:: atomic { at(WAIT) && !cut[me] && ver[me] != CUR -> go(START) }
	:: atomic { at(WAIT) && !cut[me] && ver[me] == CUR && leaseEnds ->
#ifndef NO_STOLEN
		risky = true;
#endif
		go(TAKE) }

	/* take */
	:: atomic { at(TAKE) && cut[me] -> finish(TRANSIENT) }
	:: atomic { at(TAKE) && !cut[me] && !current -> go(START) }
#ifdef NO_SWAP
	:: atomic { at(TAKE) && !cut[me] ->
#else
	:: atomic { at(TAKE) && !cut[me] && current ->
#endif
		nonces++; nonce[me] = nonces; swap(HELD, nonces, risky, 0, 0); go(TAKEN) }
	:: atomic { at(TAKE) && mayLoseAnswer ->
		nonces++; nonce[me] = nonces; swapUnheard(HELD, nonces, risky, 0, 0); go(UNSURE) }
	:: atomic { at(UNSURE) && cut[me] -> finish(TRANSIENT) }
	:: atomic { at(UNSURE) && !cut[me] -> read();
		if
		:: ours -> tardy[me] = true; go(TAKEN)
		:: else -> again()
		fi }
	:: atomic { at(TAKEN) && !tardy[me] -> go(READY) }         /* half a lease is left: decided */
	:: atomic { at(TAKEN) && tardy[me] && cut[me] -> finish(TRANSIENT) }
	:: atomic { at(TAKEN) && tardy[me] && !cut[me] ->
		if
		:: current && ours -> swap(HELD, e.nonce, e.una, 0, 0); tardy[me] = false; due[me] = false
		:: else -> again()
		fi }

	/* present, and renew meanwhile */
	:: atomic { at(READY) ->
		presented++; assert(presented <= 1 + faults);                    /* I1, I2 */
		rivals[me] = 0; m = 0;
		do
		:: m < N -> rivals[me] = rivals[me] | (m != me && working(m) -> 1 << m : 0); m++
		:: m >= N -> break
		od;
		req[me] = SENT; go(ASK) }
	:: atomic { (at(READY) || at(ASK) || at(HOLDON)) && due[me] && !cut[me] ->
		if
		:: current && ours -> swap(HELD, e.nonce, e.una, 0, 0); due[me] = false
		:: !current && ours -> read()                                    /* then once more */
		:: !ours && pc[me] != HOLDON -> risky = true; due[me] = false    /* stolen */
		:: !ours && pc[me] == HOLDON -> due[me] = false
		fi }
	:: atomic { (at(READY) || at(ASK)) && due[me] && mayLoseAnswer && ours ->
		swapUnheard(HELD, e.nonce, e.una, 0, 0) }
	:: atomic { at(ASK) && req[me] == YES -> req[me] = NOTHING;
#ifdef NO_STORE_FIRST
		adopt(got[me])
#else
		go(PUBLISH)
#endif
		}
	:: atomic { at(ASK) && req[me] == NO -> req[me] = NOTHING;
#ifdef NO_REREAD
		finish(REFUSED)
#else
		go(REREAD)
#endif
		}
	:: atomic { at(ASK) && timeouts < TIMEOUTS -> timeouts++; leave();
		why = TRANSIENT; una = true; go(FAIL) }

	/* publish: stored before seen */
#ifdef NO_COMPARE
	:: atomic { at(PUBLISH) && !cut[me] && !current -> read() }
#else
	:: atomic { at(PUBLISH) && !cut[me] && !current -> read();
		if
		:: e.st == OVER -> revoked = true; finish(LOGIN)                 /* ours is discarded */
		:: e.st == DONE && e.nonce == nonce[me] -> adopt(got[me])
		:: e.st == DONE && e.nonce != nonce[me] -> again()               /* ours is dropped */
		:: else                                                          /* written over */
		fi }
#endif
	:: atomic { at(PUBLISH) && !cut[me] && current ->
		swap(DONE, nonce[me], false, got[me], 0); stored = stored | 1 << got[me]; adopt(got[me]) }
	:: atomic { at(PUBLISH) && mayLoseAnswer ->
		swapUnheard(DONE, nonce[me], false, got[me], 0); stored = stored | 1 << got[me] }
	:: atomic { at(PUBLISH) && cut[me] -> nonce[me] = 0; go(KEPT) }          /* tried for long enough */
	:: atomic { at(KEPT) -> finish(ALONE) }
	:: atomic { at(KEPT) && !cut[me] -> read();                              /* deliver */
		if
		:: e.st == OVER -> revoked = true; finish(LOGIN)
		:: e.st == DONE -> adopt(e.succ)
		:: else -> swap(DONE, 0, false, got[me], 0); stored = stored | 1 << got[me]; adopt(got[me])
		fi }

	/* refused: is there a successor elsewhere? */
	:: atomic { (at(REREAD) || at(HOLDON)) && cut[me] -> why = TRANSIENT; una = true; go(FAIL) }
	:: atomic { (at(REREAD) || at(HOLDON) && !current) && !cut[me] -> read();
		if
		:: e.st == DONE || e.st == OVER -> again()
		:: else ->
#ifndef NO_NOTE
			risky = risky || !ours;
#endif
			if
			:: risky -> go(HOLDON)
			:: else -> why = REFUSED; una = false; own(); go(FAIL)
			fi
		fi }
#ifdef NO_WAIT
	:: atomic { at(HOLDON) && !cut[me] && current ->
#else
	:: atomic { at(HOLDON) && !cut[me] && current && nobody(rival) ->
#endif
		why = AMBIGUOUS; una = false; own(); go(FAIL) }

	/* fail: share the failure */
	:: atomic { at(FAIL) && !cut[me] && !current -> read();
		if
		:: e.st == OVER -> finish(LOGIN)
		:: e.st == DONE || e.st == HELD && e.nonce != nonce[me] -> again()
		:: e.st == FAILED && e.nonce == nonce[me] -> finish(why)
#ifndef NO_VERDICT
		:: e.st == FAILED && e.nonce != nonce[me] && e.why != TRANSIENT -> again()
#endif
		:: else                                                          /* written over */
		fi }
	:: atomic { at(FAIL) && !cut[me] && current ->
#ifdef NO_UNANSWERED
		una = false; risky = false;
#endif
		swap(FAILED, nonce[me], una || risky, 0, why); finish(why) }
	:: atomic { at(FAIL) && mayLoseAnswer ->
		swapUnheard(FAILED, nonce[me], una || risky, 0, why) }
	:: atomic { at(FAIL) && cut[me] -> finish(why) }                         /* tried for a lease */

	/* faults */
	:: atomic { pc[me] != ENDED && deaths < DEATHS -> deaths++; leave(); gone() }
	:: atomic { up && pc[me] != ENDED && stalls < STALLS -> stalls++; stalled[me] = true; tardy[me] = (nonce[me] != 0) }
	:: atomic { stalled[me] -> stalled[me] = false; due[me] = (nonce[me] != 0) }
	:: atomic { up && !cut[me] && pc[me] != ENDED && cuts < CUTS -> cuts++; cut[me] = true }
	:: atomic { up && cut[me] -> cut[me] = false; due[me] = (nonce[me] != 0) }
	:: pc[me] == ENDED -> break
	od
}

/* The AS is strict: whoever comes first gets the successor. */
inline handle(q) {
	if
#ifdef LENIENT
	:: !dead && !revoked -> spent = true; issued++; got[q] = issued; req[q] = YES
#else
	:: !dead && !revoked && !spent -> spent = true; issued++; got[q] = issued; req[q] = YES
#endif
	:: else -> req[q] = NO
	fi
}
proctype AS() {
end:	do
	:: atomic { req[0] == SENT -> handle(0) }
	:: atomic { req[1] == SENT -> handle(1) }
#if N > 2
	:: atomic { req[2] == SENT -> handle(2) }
#endif
	:: atomic { late > 0 -> late--; spent = spent || !dead && !revoked }
	od
}

#if LOSSES
proctype Loss() {
end:	do
	:: atomic { losses < LOSSES && e.st != ABSENT -> losses++; haveLast = false; buried = false;
		k = 0;
		do
		:: k < N -> ver[k] = (ver[k] == NONE -> NONE : OLD); due[k] = (nonce[k] != 0); k++
		:: k >= N -> break
		od;
		e.st = ABSENT; e.nonce = 0; e.una = false; e.succ = 0; e.why = 0 }
	:: atomic { losses < LOSSES && haveLast -> losses++; haveLast = false; buried = (last.st == OVER);
		k = 0;
		do
		:: k < N -> ver[k] = (ver[k] == PRV -> CUR : (ver[k] == CUR -> OLD : ver[k])); due[k] = (nonce[k] != 0); k++
		:: k >= N -> break
		od;
		e.st = last.st; e.nonce = last.nonce; e.una = last.una; e.succ = last.succ; e.why = last.why }
	od
}
#endif

#ifdef TOMB
proctype Tomb() {        /* over ends early, since nothing was known that it leads to, while somebody stands still for longer */
end:	atomic { revoked && e.st == OVER && e.succ == 0 && !nobody(still) && nobody(moving) -> write(ABSENT, 0, false, 0, 0) }
}
#endif

#ifdef LOGOUT
proctype Logout() {
	/* Retried until it wins, so that only the winning Swap counts. */
	atomic { write(OVER, 0, false, e.succ, 0); buried = true; loggedOut = true };
	revoked = true           /* tells the AS */
}
#endif

init {
	atomic {
		e.st = ABSENT; k = 0;
		do
		:: k < N -> ver[k] = OLD; pc[k] = START; req[k] = NOTHING; k++
		:: k >= N -> break
		od;
#ifdef DEAD
		if
		:: dead = true
		:: true
		fi;
#endif
		run AS();
#if LOSSES
		run Loss();
#endif
#ifdef TOMB
		run Tomb();
#endif
#ifdef LOGOUT
		run Logout();
#endif
		k = 0;
		do
		:: k < N -> run Replica(k); k++
		:: k >= N -> break
		od
	}
}

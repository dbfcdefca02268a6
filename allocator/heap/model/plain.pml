// SPDX-License-Identifier: MIT
/*
 * plain.pml - may a lane allocate and free by plain stores while others free, and a
 * mover takes and moves, the same block?
 *
 * Built on: fast.h, free.c (unbias), mover.c (take_slot, scan_pins, take_cached),
 * alloc.c (hh_item_cached), recover.c (recover_mag). Units: generations, places.
 * Concurrency: x86-TSO: the stores of each lane wait in a FIFO sb[], read back by the
 * lane itself; a CAS needs its own FIFO empty; a membarrier waits for each FIFO in turn.
 * One entry, two lanes that both may free any handle they know of (so they race), one
 * mover. Ghosts: each handle is given out once and freed once; a plain store of W lands
 * on the very word that it was computed from, but for the mover's two marks.
 *
 * Without a define no error may be found. With each of these one must be:
 *   NOBAR      the mover does not wait for the store buffers
 *   NOSCAN     the mover does not look at the busy cells
 *   NOBUSY     the lane does not write its busy cell
 *   LATEBUSY   it writes it after it has read W
 *   NOUNBIAS   a foreign free changes W without asking the home lane to stop
 *   NOWAIT     it asks, but does not wait for the busy cell
 *   NOASK      the home lane does not look at `shared`
 *   CRASH TRUST   recovery keeps an item above count whatever put it there
 */
#ifndef ROUNDS
#define ROUNDS 2   /* calls of each lane */
#endif
#ifndef MOVES
#define MOVES 2    /* of the mover */
#endif
#ifdef CRASH
#define CALLS (me == 0 -> ROUNDS-1 : ROUNDS)
#else
#define CALLS ROUNDS
#endif
#define A_BUSY 0
#define A_W    1
#define A_HOME 2
#define A_PUB  3
#define NG 6

mtype = { BARE, CACHED, LIVE, MOVING, TAKEN };
typedef Word { mtype st; byte gen; byte pl };
Word W;
byte home = 0;             /* in M */
#ifdef CRASH
#define NL 3               /* lane 2 is there to inherit from the depot */
#else
#define NL 2
#endif
byte busy[NL];             /* 1: about to change the entry */
byte shared[NL];
byte pub = NG;             /* the handle known to everybody: its generation */
byte item[NL] = NG;         /* the one item of each magazine: a generation */
byte spare = NG;           /* an item of the depot */
bit  cnt[NL];               /* its count */
chan sb[NL] = [8] of { byte, mtype, byte, byte };
byte pend[NL]; Word mine[NL];/* stores of W on their way, and the latest of them */
byte given[NG], freed[NG]; /* ghosts */
byte left; bit dead;

#define IS(s, g) (W.st == s && W.gen == g)

proctype Buffer(byte me) { byte a, g, p; mtype s;
end: do
     :: atomic { sb[me]?a, s, g, p;
          if :: a == A_BUSY -> busy[me] = g
             :: a == A_HOME -> home = g
             :: a == A_PUB -> pub = g
             :: a == A_W -> pend[me]--;
                if :: s == LIVE -> assert(W.gen == g && W.pl == p && (W.st == CACHED || W.st == TAKEN))
                   :: else -> assert(W.gen+1 == g && W.pl == p && (W.st == LIVE || W.st == MOVING))
                fi;
                W.st = s; W.gen = g; W.pl = p
          fi; a = 0; g = 0; p = 0; s = 0 }
     od }

inline read_w(me, s, g, p) {
     atomic { if :: pend[me] -> s = mine[me].st; g = mine[me].gen; p = mine[me].pl
                 :: else -> s = W.st; g = W.gen; p = W.pl fi } }

inline put_w(me, s, g, p) {
     atomic { nfull(sb[me]); sb[me]!A_W, s, g, p; pend[me]++; mine[me].st = s; mine[me].gen = g; mine[me].pl = p } }

#ifdef NOBUSY
#define SAY(v) skip
#else
#define SAY(v) sb[me]!A_BUSY, 0, v, 0
#endif
#ifdef CRASH
#define STEP if :: skip :: me == 0 && !dead -> atomic { dead = 1; goto died } fi
#else
#define STEP skip
#endif

#ifdef NOASK
#define ASK true
#else
#define ASK (shared[me] == 0)
#endif

#ifdef CRASH
#ifdef TRUST
#define KEEP true
#else
#define KEEP (busy[0] == 1)   /* in a plain free, which nobody can have won instead */
#endif

inline barrier() { empty(sb[0]); empty(sb[1]); empty(sb[2]) }
#else
inline barrier() { empty(sb[0]); empty(sb[1]) }
#endif

proctype Lane(byte me) { byte n, h, g, p, k; mtype s; bit done;
  do
  :: n < CALLS -> n++;
     if
     :: cnt[me] && item[me] != NG -> skip;                        /* alloc */
        h = item[me];
#ifndef LATEBUSY
        SAY(1);
#endif
        read_w(me, s, g, p);
#ifdef LATEBUSY
        SAY(1);
#endif
        STEP;
        if
        :: s == CACHED && g == h -> skip;
           sb[me]!A_HOME, 0, me, 0; STEP;
           put_w(me, LIVE, g, p); STEP;
           given[g]++; assert(given[g] == 1);
           cnt[me] = 0; STEP;
           SAY(0);
           sb[me]!A_PUB, 0, g, 0
        :: else -> skip;                                          /* the slow path */
           SAY(0);
           atomic { empty(sb[me]); if :: IS(TAKEN, h) -> W.st = CACHED :: else fi };
           STEP;
           /* the magazine's owner alone has the item: pop, by CAS */
           atomic { if :: IS(CACHED, h) -> skip :: else -> cnt[me] = 0; goto none fi };
           sb[me]!A_HOME, 0, me, 0;
           atomic { empty(sb[me]); if :: IS(CACHED, h) -> W.st = LIVE; done = 1 :: else -> done = 0 fi };
           STEP;
           if :: done -> given[h]++; assert(given[h] == 1); cnt[me] = 0;
                         sb[me]!A_PUB, 0, h, 0
              :: else fi
        fi
     :: !cnt[me] && spare != NG ->                                /* takes from the depot */
        atomic { empty(sb[me]); if :: spare != NG && !cnt[me] -> item[me] = spare; cnt[me] = 1; spare = NG :: else fi }
     :: !cnt[me] && pub != NG -> skip;                            /* free */
        h = pub;
#ifndef LATEBUSY
        SAY(1);
#endif
        read_w(me, s, g, p);
#ifdef LATEBUSY
        SAY(1);
#endif
        k = home; STEP;
        if
        :: s == LIVE && g == h && k == me && ASK -> skip;
           item[me] = g+1; STEP;
           put_w(me, CACHED, g+1, p); STEP;
           freed[g]++; assert(freed[g] == 1);
           cnt[me] = 1; STEP;
           SAY(0)
        :: else -> skip;
           SAY(0);
again:     atomic { empty(sb[me]); g = W.gen; p = W.pl; s = W.st; k = home };
           if :: g != h || !(s == LIVE || s == MOVING) -> goto none :: else fi;   /* -ESTALE */
#ifndef NOUNBIAS
           if :: k != me && shared[k] != 2 -> skip;
                 atomic { if :: shared[k] == 0 -> shared[k] = 1 :: else fi };
                 barrier();
#ifndef NOWAIT
                 do :: atomic { busy[k] == 0 ->         /* its recovery clears it, last */
                      if :: shared[k] == 1 -> shared[k] = 2 :: else fi }; break
                 od
#endif
              :: else fi;
#endif
           item[me] = h+1; STEP;
           atomic { empty(sb[me]);
                    if :: W.st == s && W.gen == g && W.pl == p -> W.st = CACHED; W.gen = g+1; done = 1
                       :: else -> done = 0 fi };
           STEP;
           if :: done -> freed[h]++; assert(freed[h] == 1); cnt[me] = 1
              :: else ->
#ifndef NOCLEAR
                 item[me] = NG;
#endif
                 goto again fi
        fi
     :: else -> skip
     fi;
none: h = 0; g = 0; p = 0; k = 0; done = 0; s = 0
  :: n == CALLS -> break
  od;
  goto over;
died: skip;
over: h = 0; g = 0; p = 0; k = 0; done = 0; s = 0; left-- }

proctype Mover() { byte n, g, p; mtype s; bit pinned;
  do
  :: n < MOVES -> n++;
     atomic { s = W.st; g = W.gen; p = W.pl };
     if :: s == BARE || s == MOVING || s == TAKEN -> goto next :: else fi;
     atomic { if :: W.st == s && W.gen == g && W.pl == p -> W.st = (s == CACHED -> TAKEN : MOVING)
                 :: else -> goto next fi };
#ifndef NOBAR
     barrier();
#endif
     pinned = 0;
#ifndef NOSCAN
     pinned = busy[0]; pinned = pinned || busy[1];
#ifdef CRASH
     pinned = pinned || busy[2];
#endif
#endif
     atomic {
       if :: s == CACHED && IS(TAKEN, g) ->
                if :: pinned -> W.st = CACHED
                   :: else -> W.st = BARE; W.gen = g+1; W.pl = 9 fi
          :: s == LIVE && IS(MOVING, g) && W.pl == p ->
                W.st = LIVE; if :: pinned :: else -> W.pl = 1-p fi
          :: else
       fi };
next: s = 0; g = 0; p = 0; pinned = 0
  :: n == MOVES -> break
  od; left-- }

#ifdef CRASH
proctype Recover() { byte g;
end: dead && empty(sb[0]);
  g = item[0];
  if
  :: g != NG && !cnt[0] && KEEP ->
     atomic { if :: IS(CACHED, g) || IS(TAKEN, g) -> cnt[0] = 1 :: else fi }
  :: else
  fi;
  if :: cnt[0] -> spare = g :: else fi;
  cnt[0] = 0; busy[0] = 0; g = 0 }
#endif

init { atomic { left = 3;
#ifdef CRASH
       W.st = LIVE; pub = 0; given[0] = 1;       /* the first alloc is behind us */
#else
       W.st = CACHED; item[0] = 0; cnt[0] = 1;
#endif
       run Buffer(0); run Buffer(1); run Lane(0); run Lane(1); run Mover();
#ifdef CRASH
       left++; run Lane(2); run Buffer(2); run Recover()
#endif
       };
       left == 0; barrier();
       assert(W.st != MOVING) }

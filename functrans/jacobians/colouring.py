"""stub"""
import numpy as np


class Colouring:
    def __init__(self, kind, cc, rc, source):
        self.kind=kind; self.column_colours=cc; self.row_colours=rc; self.source=source
        self.columns=int(cc.max()+1) if cc is not None and cc.size else 0
        self.rows=int(rc.max()+1) if rc is not None and rc.size else 0
def greedy(p):
    t=p.transposed; m,n=p.shape; cc=np.full(n,-1,np.int32)
    for j in range(n):
        rows=t.columns[t.starts[j]:t.starts[j+1]]
        if not rows.size: continue
        bad=set()
        for i in rows: bad.update(cc[p.columns[p.starts[i]:p.starts[i+1]]].tolist())
        c=0
        while c in bad: c+=1
        cc[j]=c
    return cc
def colour_columns(p):
    cc=greedy(p); return Colouring("columns", cc, None, cc[p.columns].astype(np.int64)*p.shape[0]+p.rows)
def colour_rows(p):
    rc=greedy(p.transposed); return Colouring("rows", None, rc, rc[p.rows].astype(np.int64)*p.shape[1]+p.columns)
def colour_star(p): return Colouring("star", *(lambda c:(c.column_colours,None,c.source))(colour_columns(p)))
def bicolour(p): return colour_columns(p)


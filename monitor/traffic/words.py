"""256 common English words, one for each value of a byte. Most tokenizers have a token for each."""

_TEXT = """
the of and to in is was for on that with as by at from this be are or it an which have not has
his but were they their one all been two first when there more no other some time after new only
also can who its into up will if such about out so would these most then may over what many
between use made where used during state year world war three part work people city number
system through name well being did now long early before own both under because life day great
line same water left place any group against high government still small old house since end
found each form area much even until become large often several important including power four
home while within second later known public service local national set order family right court
case law school church music film team game season book story word song player club town country
river road land sea island north south east west black white red green light dark king queen
army force battle party president member leader council company business market price money bank
trade food animal bird fish tree plant field farm hand head eye face body heart mind man woman
child boy girl father mother son friend love death fire air earth sun moon star space science
theory study paper result example question answer problem point view fact reason idea cause
effect change growth level rate value cost test model design type kind class process method
"""
WORDS = tuple(_TEXT.split())

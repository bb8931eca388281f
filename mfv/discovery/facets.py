"""temporary"""
import numpy as np
def facet_members(c):
    return [np.where(c.assignment==k)[0][np.argsort(c.distances[c.assignment==k],kind='stable')] for k in range(c.assignment.max()+1)]
def exemplars(m,count=15): return m[:count]
def mean_image(x): return x.mean(0)

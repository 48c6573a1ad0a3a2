"""One incident's request again and again, alone and under load: the model or the infrastructure?"""
